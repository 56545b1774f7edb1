"""Write files atomically; open regular ones only; read JSON strictly."""

from boxloop.files.json_text import parse_json as parse_json
from boxloop.files.json_text import read_json as read_json
from boxloop.files.reading import BAD_ARCHIVE as BAD_ARCHIVE
from boxloop.files.reading import MOST_BYTES as MOST_BYTES
from boxloop.files.reading import MOST_TEXT as MOST_TEXT
from boxloop.files.reading import collection_paused as collection_paused
from boxloop.files.reading import explained as explained
from boxloop.files.reading import file_digest as file_digest
from boxloop.files.reading import open_regular as open_regular
from boxloop.files.reading import read_bytes as read_bytes
from boxloop.files.reading import read_text as read_text
from boxloop.files.reading import require_regular as require_regular
from boxloop.files.temporary import require_temporary_room as require_temporary_room
from boxloop.files.temporary import temporary_folder as temporary_folder
from boxloop.files.temporary import writing_temporary as writing_temporary
from boxloop.files.writing import DETECTOR as DETECTOR
from boxloop.files.writing import EMPTY_DETECTOR as EMPTY_DETECTOR
from boxloop.files.writing import FEATURES as FEATURES
from boxloop.files.writing import SIMNET as SIMNET
from boxloop.files.writing import atomic_path as atomic_path
from boxloop.files.writing import is_elsewhere as is_elsewhere
from boxloop.files.writing import make_folder as make_folder
from boxloop.files.writing import remove_leftovers as remove_leftovers
from boxloop.files.writing import require_writable as require_writable
from boxloop.files.writing import write_json as write_json
from boxloop.files.writing import write_text as write_text
