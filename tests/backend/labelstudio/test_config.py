import pytest

from backend.labelstudio.config import KINDS, LabelConfig, find_kind
from backend.labelstudio.elements import UnsupportedConfig

IMAGE = '<Image name="img" value="$image"/>'
TWO = '<Choice value="a"/><Choice value="b"/>'


def test_finds_names_key_and_classes_in_order():
    kind = find_kind(
        '<View><Header value="x"/><View style="a"><Image name="photo" value="$pic_1" zoom="true"/></View>'
        '<Choices name="class" toName="photo" choice="single-radio">'
        '<Choice value="b"/><Choice value="a"/><Choice value="Long name" alias="c"/></Choices></View>'
    )
    assert (kind.from_name, kind.to_name, kind.data_key) == ("class", "photo", "pic_1")
    assert kind.classes == ("b", "a", "c")
    assert kind.name in KINDS


def test_first_single_choice_is_taken_and_others_are_passed_over():
    kind = find_kind(
        f'<View>{IMAGE}<Text name="t" value="$text"/><Choices name="about" toName="t">{TWO}</Choices>'
        f'<Choices name="many" toName="img" choice="multiple">{TWO}</Choices>'
        f'<Choices name="one" toName="img">{TWO}</Choices><Choices name="two" toName="img">{TWO}</Choices></View>'
    )
    assert kind.from_name == "one"


def with_choices(inner=TWO, attributes="", image=IMAGE):
    return f'<View>{image}<Choices name="c" toName="img" {attributes}>{inner}</Choices></View>'


BOXES = '<RectangleLabels name="r" toName="img"><Label value="a"/></RectangleLabels>'
ABOUT_TEXT = f'<Text name="t" value="$x"/><Choices name="c" toName="t">{TWO}</Choices>'


@pytest.mark.parametrize(("config", "words"), [
    ("", "no label config"),
    ("<View>", "not valid XML"),
    ("<View></View>", "no control tag"),
    (f"<View>{IMAGE}{BOXES}</View>", "<RectangleLabels>"),
    (f"<View>{ABOUT_TEXT}</View>", "<Choices> on an <Image>"),
    (with_choices("", 'choice="multiple"'), "no choices"),
    (with_choices(attributes='perRegion="true"'), "each region"),
    (with_choices("", 'value="$options"'), "task data"),
    (with_choices('<Choice value="a"/>'), "fewer than two"),
    (with_choices(TWO + '<Choice value="A" alias="a"/>'), "twice"),
    (with_choices(f'<Choice value="x">{TWO}</Choice>', 'allowNested="true"'), "within choices"),
    (with_choices(image='<Image name="img" valueList="$images"/>'), "valueList"),
    (with_choices(image='<Image name="img" value="http://x/$image"/>'), r"\$field"),
    ('<!DOCTYPE x [<!ENTITY a "aaaa">]><View>&a;</View>', "entities"),
])  # fmt: skip
def test_unsupported_configs_name_what_is_in_the_way(config, words):
    with pytest.raises(UnsupportedConfig, match=words):
        find_kind(config)


def test_multiple_choice_is_a_kind_of_its_own():
    kind = find_kind(with_choices(attributes='choice="multiple" required="true"'))
    assert (kind.name, kind.classes, kind.several, kind.required) == ("multilabel", ("a", "b"), True, True)
    assert kind.name in KINDS
    assert find_kind(with_choices('<Choice value="a"/>', 'choice="multiple"')).classes == ("a",)
    assert kind.digest != find_kind(with_choices()).digest


def test_a_control_that_cannot_be_learned_does_not_hide_one_that_can():
    kind = find_kind(
        f'<View>{IMAGE}<Choices name="one" toName="img" perRegion="true">{TWO}</Choices>'
        f'<Choices name="many" toName="img" choice="multiple">{TWO}</Choices></View>'
    )
    assert (kind.name, kind.from_name) == ("multilabel", "many")


def test_digest_changes_with_what_matters_and_only_then():
    one = find_kind(f'<View>{IMAGE}<Choices name="c" toName="img">{TWO}</Choices></View>')
    same = find_kind(
        f'<View><Header value="Hi"/>{IMAGE}<Choices name="c" toName="img" required="true">{TWO}</Choices></View>'
    )
    more = find_kind(f'<View>{IMAGE}<Choices name="c" toName="img">{TWO}<Choice value="z"/></Choices></View>')
    other = find_kind(f'<View>{IMAGE}<Choices name="d" toName="img">{TWO}</Choices></View>')
    assert one.digest == same.digest
    assert len({one.digest, more.digest, other.digest}) == 3


def test_elements_know_what_is_around_them():
    config = LabelConfig.parse('<View><Choices toname="x"><Choice/></Choices><Choice/></View>')
    _, choices, inner, outer = config.elements
    assert inner.inside(choices)
    assert not outer.inside(choices)
    assert choices.get("toName") == "x"
