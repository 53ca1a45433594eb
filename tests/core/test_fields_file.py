import numpy as np
import pytest
from cosolve.core.errors import BadInputError, OutputError
from cosolve.core.fields_file import PlaneField, PlaneFields, grid_points, read_plane_fields, write_plane_fields


def test_what_was_written_is_read_back(tmp_path):
    x, triangles = grid_points((5, 4))
    source = np.arange(20) % 2
    content = PlaneFields(
        x=x,
        triangles=triangles,
        fields={
            "alpha": PlaneField(np.sin(x[:, 0]), label="degree of cure"),
            "source": PlaneField(source.astype(float), role="source", categories=("solver", "network")),
        },
    )
    path = write_plane_fields(tmp_path, content)
    assert path == tmp_path / "fields.npz"
    back = read_plane_fields(tmp_path)
    assert back is not None
    assert list(back.fields) == ["alpha", "source"]
    assert np.array_equal(back.triangles, triangles)
    assert np.allclose(back.fields["alpha"].values, np.sin(x[:, 0]), atol=1e-7)
    assert back.fields["alpha"].label == "degree of cure"
    assert back.fields["source"].categories == ("solver", "network")


def test_triangles_of_a_grid_cover_it():
    x, triangles = grid_points((4, 6), (2.0, 3.0))
    a, b, c = (x[triangles[:, k]] for k in range(3))
    areas = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    assert (areas > 0).all()
    assert areas.sum() == pytest.approx(6.0)


def test_no_file_is_none(tmp_path):
    assert read_plane_fields(tmp_path) is None


def test_a_field_of_another_size_is_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"'u'.*\(3,\), expected \(4,\)"):
        write_plane_fields(tmp_path, PlaneFields(x=np.zeros((4, 2)), fields={"u": PlaneField(np.zeros(3))}))


def test_a_damaged_file_is_one_sentence(tmp_path):
    path = write_plane_fields(tmp_path, PlaneFields(x=np.zeros((4, 2)), fields={"u": PlaneField(np.zeros(4))}))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInputError, match="not a readable fields"):
        read_plane_fields(tmp_path)


def test_a_pickled_file_is_refused(tmp_path):
    np.savez(tmp_path / "fields.npz", x=np.array([object()], dtype=object), about=np.array("{}"))
    with pytest.raises(BadInputError, match="not a readable fields"):
        read_plane_fields(tmp_path)


def test_a_missing_folder_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_plane_fields(tmp_path / "absent", PlaneFields(x=np.zeros((1, 2))))
