"""What a process that speaks does: `serve` drives libespeak-ng from stdin to stdout.

In: a JSON list of utterances (`Utterance` without its id).  Out, for each: a line of JSON (`samples`, `events`)
and the audio, int16 at 22,050 Hz.  The engine's state is never reset, so what it says depends on all that the
process said before: a fresh process and a fixed order give the same bits again. It loads GPL code, and no torch.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

SAMPLE_RATE_HZ = 22_050

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS = 0x1
_INITIALIZE_DONT_EXIT = 0x8000
_EVENT_LIST_TERMINATED, _EVENT_PHONEME = 0, 7
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_POSITION_CHARACTER, _CHARS_UTF8 = 1, 1
_NO_CLIPPING_VOLUME = 60


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Engine:
    """libespeak-ng of the package `espeakng_loader`; one a process, since its state is global."""

    def __init__(self) -> None:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
        # A data path of 160 characters or more fails in the engine: go there and call it ".".
        os.chdir(espeakng_loader.get_data_path())
        for name, arguments in (
            ("espeak_Initialize", [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]),
            ("espeak_SetVoiceByName", [ctypes.c_char_p]),
            ("espeak_SetParameter", [ctypes.c_int] * 3),
            ("espeak_ng_SetRandSeed", [ctypes.c_long]),
            (
                "espeak_Synth",
                [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_uint] * 4, ctypes.c_void_p, ctypes.c_void_p],
            ),
        ):
            getattr(library, name).argtypes = arguments
        rate = library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 200, b".", _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_DONT_EXIT
        )
        if rate != SAMPLE_RATE_HZ:
            raise RuntimeError(f"espeak_Initialize answered {rate}, not {SAMPLE_RATE_HZ} Hz")
        self._library = library
        self._callback = _Callback(self._receive)  # the library keeps no reference
        library.espeak_SetSynthCallback(self._callback)
        self._audio: list[bytes] = []
        self._events: list[tuple[int, str]] = []
        self._error: BaseException | None = None

    def say(
        self, text: str, *, accent: str, variant: str, rate: int, pitch: int, pitch_range: int, seed: int
    ) -> tuple[bytes, list[tuple[int, str]]]:
        """Audio (int16) of `text`, and each phoneme's mnemonic at the sample where it starts.

        Raises `ValueError` for a voice that is not installed: the engine itself would take another, silently.
        """
        if not Path("voices/!v", variant).is_file():
            raise ValueError(f"no voice variant {variant!r} in espeak-ng")
        if self._library.espeak_SetVoiceByName(f"{accent}+{variant}".encode()) != 0:
            raise ValueError(f"no accent {accent!r} in espeak-ng")
        parameters = {_RATE: rate, _VOLUME: _NO_CLIPPING_VOLUME, _PITCH: pitch, _RANGE: pitch_range}
        for parameter, value in parameters.items():
            self._library.espeak_SetParameter(parameter, value, 0)
        self._library.espeak_ng_SetRandSeed(seed)
        self._audio, self._events, self._error = [], [], None
        spoken = text.encode() + b"\0"
        status = self._library.espeak_Synth(spoken, len(spoken), 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None)
        if self._error is not None:
            raise self._error
        if status != 0:
            raise RuntimeError(f"espeak_Synth answered {status} to {text!r}")
        return b"".join(self._audio), self._events

    def _receive(self, audio: Any, samples: int, events: Any) -> int:
        try:
            if audio and samples > 0:
                self._audio.append(ctypes.string_at(audio, 2 * samples))
            position = 0
            while (event := events[position]).type != _EVENT_LIST_TERMINATED:
                if event.type == _EVENT_PHONEME:
                    self._events.append((event.sample, _mnemonic(event)))
                position += 1
            return 0
        except BaseException as error:  # must not cross the C frame, where it would be swallowed
            self._error = error
            return 1


def _mnemonic(event: _Event) -> str:
    # The name lies in the event itself, without a final zero where it is eight bytes long.
    name = ctypes.string_at(ctypes.addressof(event) + _Event.id.offset, 8)
    return name.split(b"\0")[0].decode()


def serve() -> None:
    """Answer the requests of stdin on stdout, as above; an error goes to stderr, with exit code 1."""
    # The library may print: only answers go to the pipe, all else to stderr.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        try:
            engine = Engine()
            for utterance in json.load(sys.stdin.buffer):
                audio, events = engine.say(**utterance)
                header = {"samples": len(audio) // 2, "events": events}
                answers.write(json.dumps(header).encode() + b"\n" + audio)
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)
