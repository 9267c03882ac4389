"""What jq_proto_py promises: generated modules under the repository's one name, imports across targets."""

from google.protobuf import text_format

from jacquard.bazel.smoke import inner_pb2, outer_pb2


def test_import_across_targets() -> None:
    outer = text_format.Parse("inner { value: 3 } inner { value: 4 } at { seconds: 5 }", outer_pb2.Outer())
    assert [i.value for i in outer.inner] == [3, 4]
    assert isinstance(outer.inner[0], inner_pb2.Inner)
