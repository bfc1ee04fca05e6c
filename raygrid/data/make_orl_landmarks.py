"""Write `orl_landmarks.csv`: `python -m raygrid.data.make_orl_landmarks`, some ten seconds on one core.

Looks for the face in each of the 400 photos of `orl-faces`, so that loading them needs no net.
"""

from raygrid.data.face_detection import find_faces, load_nets
from raygrid.data.faces import read_orl, write_landmarks
from raygrid.data.pins import ORL_FACES


def main() -> None:
    """Write the list anew. Where a photo showed several faces, the largest would count; none of them does."""
    nets = load_nets()
    write_landmarks({name: find_faces(nets, photo)[0].landmarks for name, photo in read_orl(ORL_FACES).items()})


if __name__ == "__main__":
    main()
