"""The models of this package, registered under the names users type.

Imports no torch: a build function fetches its layers when it is called. Decorators
apply from the bottom up, so the lowest name of a group is listed first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.nn.registry import PretrainedConfig, register_model

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket
    from napari_sam.nn.sam import Sam

_META = "https://dl.fbaipublicfiles.com/segment_anything"
_ZOO = "https://uk1s3.embassy.ebi.ac.uk/public-datasets/bioimage.io"
_GOETTINGEN = "https://owncloud.gwdg.de/index.php/s"
_KIRILLOV = "Meta AI, Segment Anything (Kirillov et al. 2023)"
_ZHANG = "MobileSAM (Zhang et al. 2023)"
_ARCHIT = "micro-sam (Archit et al. 2025), BioImage.IO {}"
_GRIEBEL = "PathoSAM (Griebel et al. 2025)"


def _zoo(name: str, entry: str, xxh128: str, decoder_xxh128: str) -> PretrainedConfig:
    architecture = name[:5]
    folder = f"{_ZOO}/{entry}/files"
    return PretrainedConfig(
        url=f"{folder}/{architecture}.pt",
        filename=f"{name}.pt",
        xxh128=xxh128,
        licence="CC-BY-4.0",
        source=_ARCHIT.format(entry.split("/")[0]),
        normalisation="micro_sam",
        decoder_url=f"{folder}/{architecture}_decoder.pt",
        decoder_xxh128=decoder_xxh128,
        architecture=architecture,
    )


def _histopathology(
    name: str, share: str, xxh128: str, decoder_share: str, decoder_xxh128: str
) -> PretrainedConfig:
    return PretrainedConfig(
        url=f"{_GOETTINGEN}/{share}/download",
        filename=f"{name}.pt",
        xxh128=xxh128,
        licence="not stated",
        source=_GRIEBEL,
        normalisation="micro_sam",
        decoder_url=f"{_GOETTINGEN}/{decoder_share}/download",
        decoder_xxh128=decoder_xxh128,
        architecture=name[:5],
    )


@register_model(
    "pocket",
    config=PretrainedConfig(
        url=None,
        filename="pocket.safetensors",
        licence="BSD-3-Clause",
        source="napari_sam, trained on permissive microscopy data",
        image_size=256,
        normalisation="pocket",
        bundled=True,
        architecture="pocket",
    ),
)
def build_pocket() -> Pocket:
    """Build the bundled model: small enough for a laptop without a GPU."""
    from napari_sam.nn import pocket

    return pocket.build_pocket()


@register_model(
    "vit_b_histopathology",
    config=_histopathology(
        "vit_b_histopathology",
        "sBB4H8CTmIoBZsQ",
        "ffd1a2cd84570458b257bd95fdd8f974",
        "KO9AWqynI7SFOBj",
        "6a66194dcb6e36199cbee2214ecf7213",
    ),
)
@register_model(
    "vit_b_em_organelles",
    config=_zoo(
        "vit_b_em_organelles",
        "noisy-ox/1.2",
        "f3bf2ed83d691456bae2c3f9a05fb438",
        "bb6398956a6b0132c26b631c14f95ce2",
    ),
)
@register_model(
    "vit_b_lm",
    config=_zoo(
        "vit_b_lm",
        "diplomatic-bug/1.2",
        "fe9252a29f3f4ea53c15a06de471e186",
        "708b15ac620e235f90bb38612c4929ba",
    ),
)
@register_model(
    "sam_vit_b",
    config=PretrainedConfig(
        url=f"{_META}/sam_vit_b_01ec64.pth",
        filename="sam_vit_b_01ec64.pth",
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        xxh128="6923c33df3637b6a922d7682bfc9a86b",
        size=375_042_383,
        licence="Apache-2.0",
        source=_KIRILLOV,
        architecture="vit_b",
    ),
)
def build_vit_b() -> Sam:
    """Build SAM with a ViT-B image encoder."""
    from napari_sam.nn.sam import build_sam_vit_b

    return build_sam_vit_b()


@register_model(
    "vit_l_histopathology",
    config=_histopathology(
        "vit_l_histopathology",
        "IZgnn1cpBq2PHod",
        "b591833c89754271023e901281dee3f2",
        "oIs6VSmkOp7XrKF",
        "46aab7765d4400e039772d5a50b55c04",
    ),
)
@register_model(
    "vit_l_em_organelles",
    config=_zoo(
        "vit_l_em_organelles",
        "humorous-crab/1.2",
        "810b084b6e51acdbf760a993d8619f2d",
        "334877640bfdaaabce533e3252a17294",
    ),
)
@register_model(
    "vit_l_lm",
    config=_zoo(
        "vit_l_lm",
        "idealistic-rat/1.2",
        "017f20677997d628426dec80a8018f9d",
        "2faeafa03819dfe03e7c46a44aaac64a",
    ),
)
@register_model(
    "sam_vit_l",
    config=PretrainedConfig(
        url=f"{_META}/sam_vit_l_0b3195.pth",
        filename="sam_vit_l_0b3195.pth",
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        xxh128="a82beb3c660661e3dd38d999cc860e9a",
        licence="Apache-2.0",
        source=_KIRILLOV,
        architecture="vit_l",
    ),
)
def build_vit_l() -> Sam:
    """Build SAM with a ViT-L image encoder."""
    from napari_sam.nn.sam import build_sam_vit_l

    return build_sam_vit_l()


@register_model(
    "vit_h_histopathology",
    config=_histopathology(
        "vit_h_histopathology",
        "L7AcvVz7DoWJ2RZ",
        "bd1856dafc156a43fb3aa705f1a6e92e",
        "1qAKxy5H0jgwZvM",
        "3ed9f87e46ad5e16935bd8d722c8dc47",
    ),
)
@register_model(
    "sam_vit_h",
    config=PretrainedConfig(
        url=f"{_META}/sam_vit_h_4b8939.pth",
        filename="sam_vit_h_4b8939.pth",
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        xxh128="97698fac30bd929c2e6d8d8cc15933c2",
        size=2_564_550_879,
        licence="Apache-2.0",
        source=_KIRILLOV,
        architecture="vit_h",
    ),
)
def build_vit_h() -> Sam:
    """Build SAM with a ViT-H image encoder."""
    from napari_sam.nn.sam import build_sam_vit_h

    return build_sam_vit_h()


@register_model(
    "vit_t_em_organelles",
    config=_zoo(
        "vit_t_em_organelles",
        "greedy-whale/1",
        "253474720c497cce605e57c9b1d18fd9",
        "8f897c7bb93174a4d1638827c4dd6f44",
    ),
)
@register_model(
    "vit_t_lm",
    config=_zoo(
        "vit_t_lm",
        "faithful-chicken/1.1",
        "72ec5074774761a6e5c05a08942f981e",
        "3e914a5f397b0312cdd36813031f8823",
    ),
)
@register_model(
    "mobile_sam",
    config=PretrainedConfig(
        url=(
            "https://github.com/ChaoningZhang/MobileSAM/raw/"
            "f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/mobile_sam.pt"
        ),
        filename="mobile_sam.pt",
        sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        size=40_728_226,
        licence="Apache-2.0",
        source=_ZHANG,
        architecture="vit_t",
    ),
)
def build_vit_t() -> Sam:
    """Build SAM with MobileSAM's TinyViT image encoder."""
    from napari_sam.nn.sam import build_mobile_sam

    return build_mobile_sam()
