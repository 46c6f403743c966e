"""Sentences for the embedded corpus: a small grammar over words that cover every phoneme."""

import random
import re

_WORDS = {
    "noun": """
        boy toy coin voice oyster noise choice joy poison moisture treasure measure vision garage
        beige pleasure leisure version cow owl mouse house crowd cloud mountain fountain towel crown
        book cook hook wood foot pudding cushion wolf bush bull church cheese chair chain peach
        beach watch kitchen teacher picture judge jacket jar bridge cage giant engine page village
        jungle thumb thief path bath cloth moth tooth thunder theater month feather mother father
        brother weather leather yacht yard yolk year yellow onion lawyer canyon king song ring wing
        spring finger hunger singer uncle monkey ship shoe shelf shadow fish brush dish ocean
        station mission zebra zoo rose nose music puzzle desert prison van vase velvet valley river
        oven glove cave heaven wave wagon window wheel whale wizard woman water swan queen hat hill
        hammer horse hero hotel heart hand head garden goat girl gold glass gate guitar dog frog egg
        flag lamp lake ladder lemon letter lion leaf ball bell apple bottle table castle needle
        tunnel camel pan pot pepper paper pocket pilot pool spoon soup soap sheep lip cup cap map
        tape rope bird bear boat bag baby rabbit robe cab tub robber number fable doctor door desk
        deer drum dust rain road rock rocket ribbon carrot arrow mirror forest orange story star car
        arm farm barn park tea tent tiger tower tree train truck ticket teapot turtle nest night
        nurse net knee nail neighbor noon moon mask mill milk melon mud mouth man farmer summer film
        ham foam oar oak acorn ice island eye air ear earth oil ace ape arch ink oats author
    """,
    "adjective": """
        noisy royal moist loyal casual usual brown loud proud round sour good full wooden crooked
        cheap rich charming chilly gentle large orange strange thick thin healthy smooth other
        northern young yellow useful huge long strong hungry angry shy fresh special shiny zesty
        lazy busy crazy easy heavy velvet clever brave warm white quiet weird wild happy hollow
        honest green great gray golden little lovely pale purple simple blue big bitter rubber red
        rare rotten tiny tall tired tender new nice narrow silver small modern calm famous early old
        open awful odd empty icy even ugly able eager thirsty worthy dirty curly
    """,
    "verb": """
        enjoyed joined pointed avoided destroyed measured treasured found counted announced allowed
        shook took pushed pulled put touched watched reached chose changed judged managed thanked
        thought threw gathered used yanked followed brought sang washed showed finished crushed
        chased teased raised praised loved saved moved gave wanted wore heard helped held hid
        grabbed forgot got dragged called sold filled lifted painted picked passed kept dropped
        built bought rubbed described carried wrote read drew covered tasted told taught needed knew
        noticed made named warmed climbed owned ate asked offered opened answered imagined invited
        visited admired borrowed studied fixed mixed boxed liked marked hooked
    """,
    "name": """
        Joyce Roy Floyd Howard Brooke Chuck Charles George Jane Keith Ruth Beth Theo Yuri Yvonne
        Hugh Shawn Natasha Zack Zoe Susan Victor Vivian Walter Wendy Henry Hannah Greg Maggie Lilly
        Paul Peter Penny Bob Barbara Rachel Robert Tom Tina Nancy Norman Molly Mark Arthur Alice Ed
        Ethan Owen Ava Ike Irene Audrey Douglas Dora Kate Kevin
    """,
    "preposition": """
        beyond without through beneath around about under near behind above across along beside over
        inside toward against between
    """,
    "determiner": """
        the the the a a this that his her my your our their every each one another
    """,
    "adverb": """
        slowly quietly usually thoroughly happily yesterday again together gently suddenly twice
        outside now never always already often
    """,
    "number": """
        two three four five six seven eight nine ten eleven twelve thirteen fourteen twenty fifty
        ninety
    """,
}
_LEXICON = {kind: words.split() for kind, words in _WORDS.items()}

_TEMPLATES = (
    "{thing} {verb} {thing} {preposition} {thing}.",
    "{name} {adverb} {verb} {thing} and {verb} {thing}.",
    "{preposition} {thing}, {name} {verb} {number} {adjective} {noun}s.",
    "why should {thing} be {adjective} {preposition} {thing}?",
    "how should {thing} be {adjective} {preposition} {thing}?",
    "{name} and {name} {verb} {thing} {preposition} {thing} {adverb}.",
    "if {thing} was {adjective}, {thing} {verb} {thing}.",
    "they {verb} {number} {noun}s, but you {verb} {thing}.",
    "{thing} is {adjective}, {adjective} and {adjective}.",
)


def sentence(draw: random.Random) -> str:
    """One sentence, drawn from `draw`."""
    return re.sub(r"\{(\w+)\}", lambda slot: _fill(slot[1], draw), draw.choice(_TEMPLATES))


def _fill(slot: str, draw: random.Random) -> str:
    if slot != "thing":
        return draw.choice(_LEXICON[slot])
    words = [draw.choice(_LEXICON["noun"])]
    if draw.random() < 0.55:
        words.insert(0, draw.choice(_LEXICON["adjective"]))
    determiner = draw.choice(_LEXICON["determiner"])
    if determiner == "a" and words[0][0] in "aeiou":
        determiner = "an"
    return " ".join([determiner, *words])
