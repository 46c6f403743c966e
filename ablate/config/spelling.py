"""Which known word is meant by one that is not known."""

from collections.abc import Iterable, Sequence

# What other libraries and papers call our options, without underscores and a trailing "lr".
_OTHER_NAMES = {
    "swish": "silu", "leaky": "leaky_relu", "lrelu": "leaky_relu", "logistic": "sigmoid",
    "specaugment": "time_freq_mask", "specaug": "time_freq_mask", "timemasking": "time_mask",
    "frequencymask": "freq_mask", "frequencymasking": "freq_mask", "freqmasking": "freq_mask",
    "noise": "gaussian_noise", "jitter": "gaussian_noise",
    "cosineannealing": "cosine", "cosinedecay": "cosine", "cosineannealingwarmrestarts": "cosine_restarts",
    "warmrestarts": "cosine_restarts", "sgdr": "cosine_restarts", "onecycle": "one_cycle", "1cycle": "one_cycle",
    "reducelronplateau": "plateau", "reduceonplateau": "plateau", "inversetime": "time_decay",
    "glorot": "xavier_uniform", "glorotuniform": "xavier_uniform", "glorotnormal": "xavier_normal",
    "xavier": "xavier_uniform", "he": "kaiming_normal", "henormal": "kaiming_normal", "heuniform": "kaiming_uniform",
    "kaiming": "kaiming_normal", "pytorch": "torch", "default": "torch",
    "batchnorm": "batch", "batchnorm1d": "batch", "bn": "batch", "layernorm": "layer", "ln": "layer",
    "standard": "zscore", "standardize": "zscore", "standardization": "zscore", "meanvar": "zscore",
    "cepstral": "cmn", "cepstralmean": "cmn", "cms": "cmn", "minmaxscaler": "minmax",
    "rectangle": "cylinder", "rectangular": "cylinder", "block": "cylinder", "funnel": "pyramid",
    "invertedpyramid": "inverse_pyramid", "bottleneck": "hourglass",
    "sgdmomentum": "momentum", "sgdm": "momentum", "heavyball": "momentum", "nag": "nesterov", "swats": "adam_to_sgd",
    "lasso": "l1", "ridge": "l2", "weightdecay": "l2", "gradientclipping": "grad_clip", "clipping": "grad_clip",
    "gradclipnorm": "grad_clip", "earlystop": "early_stopping", "labelsmooth": "label_smoothing",
    "float32": "fp32", "float": "fp32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16", "amp": "bf16",
    "gpu": "cuda", "librispeech": "aligned", "timit": "aligned", "mfa": "aligned", "11785": "hw1p2",
    "identity": "none", "off": "none", "no": "none",
    "learningrate": "optimizer.lr", "rate": "optimizer.lr", "wd": "optimizer.weight_decay",
    "batchsz": "batch_size", "bs": "batch_size", "batch": "batch_size",
    "nepochs": "epochs", "numepochs": "epochs", "maxepochs": "epochs", "epoch": "epochs", "randomseed": "seed",
    "numlayers": "arch.depth", "nlayers": "arch.depth", "layers": "arch.depth", "hiddenlayers": "arch.depth",
    "hiddensize": "arch.width", "hiddendim": "arch.width", "hidden": "arch.width", "units": "arch.width",
    "subset": "data.fraction", "contextsize": "data.context", "maxparameters": "max_params", "outdir": "output_dir",
}  # fmt: skip


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint at the known word that is meant by an unknown one, or the known ones where none is near.

    >>> nearest("lrr", ["lr", "betas"]), nearest("swish", ["relu", "silu"])
    ('did you mean lr?', 'did you mean silu?')
    """
    known = sorted(words)
    if len(known) == 1:
        return f"did you mean {known[0]}?"
    meant = guess(word, known)
    return f"did you mean {meant}?" if meant else f"known: {', '.join(known) or 'none'}"


def guess(word: str, words: Iterable[str]) -> str | None:
    """The known word that is meant by an unknown one, by what others call it or by how it is spelled."""
    known = list(words)
    if ours := by_another_name(word, known):
        return ours
    import difflib  # which a command without a mistake does not need

    by_case = next((each for each in known if each.lower() == word.lower()), None)
    return by_case or next(iter(difflib.get_close_matches(word, known, n=1)), None)


def by_another_name(word: str, known: Sequence[str]) -> str | None:
    """The known word that others call so."""
    plain = word.lower().replace("_", "").replace("-", "")
    spelled = (plain, plain.removesuffix("lr"), plain.removesuffix("scheduler"))
    return next((ours for each in spelled if (ours := _OTHER_NAMES.get(each)) in known), None)
