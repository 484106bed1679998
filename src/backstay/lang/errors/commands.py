"""What stops a command before it has read a program, or after."""

from backstay.core.errors import ErrorEntry, Exit

FILE_UNREADABLE = ErrorEntry(
    "LANG120",
    "cannot read '{path}': {reason}",
    "the file is missing, is no .cai file or folder of them, or is not readable for you",
    "check the name and the permissions",
    status=404,
    exit=Exit.USAGE,
)
NO_SOURCES = ErrorEntry(
    "LANG121",
    "no .cai file in '{path}'",
    "a folder is one program, made of its .cai files",
    "name the folder that holds them",
    status=404,
    exit=Exit.USAGE,
)
FORMAT_CHANGES = ErrorEntry(
    "LANG123",
    "this file cannot be laid out without changing what it says, so it was left alone",
    "a word of it would read differently with other spaces around it",
    "format it by hand, and report the file: this is a fault of the formatter",
    status=500,
)
CANNOT_WRITE = ErrorEntry(
    "LANG124",
    "cannot write '{path}': {reason}",
    "nothing was written there; what was there is as it was",
    "check the permissions of the file and its folder",
    status=500,
    exit=Exit.USAGE,
)
FOLDER_TAKEN = ErrorEntry(
    "LANG125",
    "'{path}' exists and is not empty",
    "codeai new changes nothing that is there",
    "name another folder",
    exit=Exit.USAGE,
)
NOT_A_NAME = ErrorEntry(
    "LANG164",
    "'{name}' is not a name",
    "a name has letters, digits and underscores, and begins with no digit",
    "type another one",
)
WOULD_BREAK = ErrorEntry(
    "LANG165",
    "with the name '{name}' the program would have mistakes: {first}",
    "the name is taken, or is spoken of at a place that cannot be told for sure",
    "choose another name, or rename by hand",
)
