"""What the bundled text tower reads: dictionary entries and phrases of biology."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from napari_sam.errors import DataError
from napari_sam.text.vocabulary import Vocabulary

WORDNET_FOLDER = Path("/usr/share/wordnet")
LONGEST_GLOSS = 14

ENTITIES = """
actin; adipocytes; alga; algae; amoebae; antibodies; apoptotic cells; astrocytes;
axon bundles; bacteriophages; biofilms; blood vessels; bone; bubbles; capillaries;
cardiomyocytes; cartilage; cell walls; centrioles; centromeres; centrosomes; chromatin;
chromosomes; cilia; collagen; colonies; colonies of bacteria; crystals; cyanobacteria;
cysts; cytoplasm; cytoskeleton; dendrites; dendritic spines; diatoms; dividing cells;
DNA; droplets; eggs; embryos; endoplasmic reticulum; endosomes; endothelial cells;
epithelial cells; exosomes; fat droplets; fibroblasts; flagella; flies; fluorescent
spots; foci; follicles; fungi; fungal hyphae; germ cells; glands; glia; glial cells;
glomeruli; Golgi apparatus; grains of sand; granules; gut; hair; hepatocytes; hyphae;
immune cells; kidney tubules; larvae; leaves; lipid droplets; lumen; lymphocytes;
lysosomes; macrophages; megakaryocytes; microglia; mitotic cells; mitotic spindles;
monocytes; moulds; muscle fibers; myelin; myotubes; neurons; neutrophils; nuclear
envelope; nuclear pores; nucleoli; oocytes; organelles; organoids; ova; parasites;
peroxisomes; phagosomes; plant cells; plant roots; plasma cells; platelets; pollen
grains; pores; proteins; protozoa; puncta; pyramidal neurons; ribosomes; roots; seeds;
skin; sperm; spermatozoa; spheroids; spindle; spores; stem cells; stomata; synapses;
stress fibers; telomeres; thylakoids; tissue; trichomes; tumor cells; tumors; vacuoles;
vessels; viruses; xylem; zebrafish; soil; sediment; minerals; metal grains; ceramics;
powder; soot; fibres; polymer beads; gold nanoparticles; quantum dots; cracks; voids;
air bubbles; scratches; stains; salt crystals; latex beads; glass beads; people; faces;
cars; dogs; cats; birds; horses; trees; houses; roads; sky; buildings; boats; bicycles;
flowers; fruit; fish; insects; tables; chairs; clouds; mountains; rivers
"""
QUALITIES = """
small; large; round; elongated; bright; dark; fluorescent; stained; unstained; isolated;
touching; overlapping; dividing; dead; living; DAPI-stained; Hoechst-stained; labelled;
GFP-positive; green; red; blue; purple; pink; rod-shaped; spherical; oval; irregular;
thin; thick; curved; branched; dense; faint; tiny; big; adherent; floating; mammalian;
human; mouse; bacterial; fungal; plant; budding; blurry; clustered; hollow; out-of-focus
"""
TEMPLATES = (
    "{}",
    "a photo of {}",
    "{} in a microscope image",
    "all {}",
    "every {}",
    "the {}",
    "segment {}",
    "an image of {}",
    "{} under the microscope",
    "{} in fluorescence",
    "{} in phase contrast",
    "{} in an electron micrograph",
    "{} in bright field",
    "a histology section with {}",
    "many {}",
    "some {}",
)
KEYBOARD_NEIGHBOURS = {
    a: b
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for a, b in zip(row, row[1:] + row[-2], strict=True)
}


def split_list(text: str) -> list[str]:
    """Split a list that is separated by semicolons."""
    return [" ".join(each.split()) for each in text.split(";") if each.strip()]


def read_wordnet(folder: Path = WORDNET_FOLDER) -> Iterator[tuple[str, str]]:
    """Read lemmas and their glosses from WordNet 3.0 (Fellbaum, 1998).

    Parameters
    ----------
    folder : Path
        With ``data.noun`` and the others, as Debian's ``wordnet-base`` installs them.

    Yields
    ------
    tuple of str
        Lemma and first sense of its gloss.

    Raises
    ------
    DataError
        The folder has no such files.
    """
    files = [folder / f"data.{kind}" for kind in ("noun", "adj", "verb")]
    if not all(file.is_file() for file in files):
        raise DataError(f"{folder} holds no WordNet; install Debian's wordnet-base.")
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):
                continue
            entry, _, gloss = line.partition("|")
            fields = entry.split()
            lemmas = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            for lemma in lemmas:
                word = re.sub(r"\(\w+\)$", "", lemma).replace("_", " ")
                yield word, gloss.split(";")[0].strip()


def dictionary_texts(
    entries: Iterable[tuple[str, str]], rng: np.random.Generator, count: int
) -> list[str]:
    """Lemmas of at most three words, and short glosses; ``count`` of them.

    Parameters
    ----------
    entries : iterable of tuple of str
        Lemma and gloss.
    rng : numpy.random.Generator
    count : int
        At most.
    """
    texts = set()
    for lemma, gloss in entries:
        if len(lemma.split()) <= 3 and not any(ch.isdigit() for ch in lemma):
            texts.add(lemma.lower())
        if len(gloss.split()) <= LONGEST_GLOSS:
            texts.add(gloss)
    ordered = sorted(texts)
    return [ordered[i] for i in rng.permutation(len(ordered))[:count]]


def biology_texts(vocabulary: Vocabulary, rng: np.random.Generator) -> list[str]:
    """Phrases of biology: entity, quality and entity, and both in templates.

    The vocabulary's held-out phrases are left out, whole or as a part.

    Parameters
    ----------
    vocabulary : Vocabulary
    rng : numpy.random.Generator
        Draws which phrase gets which template.
    """
    trained = [phrase for each in vocabulary.concepts for phrase in each.trained]
    things = [*trained, *split_list(ENTITIES), *vocabulary.background]
    qualities = split_list(QUALITIES)
    phrases = {*things, *qualities}
    phrases |= {f"{quality} {thing}" for quality in qualities for thing in things}
    ordered = sorted(phrases)
    texts = set(ordered)
    for thing in things:
        texts |= {template.format(thing) for template in TEMPLATES}
    for template in TEMPLATES[1:]:
        drawn = rng.choice(len(ordered), 600, replace=False)
        texts |= {template.format(ordered[i]) for i in drawn}
    held = [phrase.lower() for each in vocabulary.concepts for phrase in each.held_out]
    return sorted(text for text in texts if not holds_any(text, held))


def holds_any(text: str, phrases: Iterable[str]) -> bool:
    """Whether ``text`` contains one of ``phrases`` as whole words."""
    padded = f" {text.lower()} "
    return any(f" {phrase} " in padded for phrase in phrases)


def misspell(text: str, rng: np.random.Generator) -> str:
    """Make one slip of the finger in a text of at least five letters."""
    if len(text) < 5:
        return text
    at = int(rng.integers(1, len(text) - 1))
    before, letter, after = text[:at], text[at], text[at + 1 :]
    kind = rng.integers(4)
    if kind == 0:
        return before + after
    if kind == 1:
        return before + letter * 2 + after
    if kind == 2:
        return before + after[:1] + letter + after[1:]
    return before + KEYBOARD_NEIGHBOURS.get(letter.lower(), letter) + after
