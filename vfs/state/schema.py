"""The tables of the embedded back end, column by column.

User text is a BLOB of UTF-8 with `surrogateescape` (`keys.encode`), so that names which are no
valid UTF-8 survive and ranges go by bytes. Times are nanoseconds since 1970.
"""

# "HDGT": tells our file from any other SQLite file.
APPLICATION_ID = 0x48444754

_VERSION_1 = (
    """
    CREATE TABLE lock (
      token           TEXT PRIMARY KEY,  -- "opaquelocktoken:" and a random UUID
      path            BLOB NOT NULL,     -- key of the lock root
      folder          BLOB NOT NULL,     -- key of the folder that holds it; the root's is the root
      name            BLOB NOT NULL,     -- its last segment; empty only for the root
      infinite        INTEGER NOT NULL,  -- 1: covers everything beneath, 0: the resource alone
      exclusive       INTEGER NOT NULL,  -- 1: tolerates no other, 0: shared
      owner_xml       BLOB NOT NULL,     -- what the client wrote about itself
      principal       BLOB NOT NULL,     -- who took it
      timeout_seconds INTEGER NOT NULL,  -- as granted last
      created_at_ns   INTEGER NOT NULL,
      expires_at_ns   INTEGER NOT NULL   -- from then on the row is dead; swept by the next acquire
    ) WITHOUT ROWID
    """,
    "CREATE INDEX lock_path ON lock (path)",
    "CREATE INDEX lock_folder ON lock (folder)",
    "CREATE INDEX lock_principal ON lock (principal)",
    "CREATE INDEX lock_expires ON lock (expires_at_ns)",
    # The key puts the members of a folder side by side: a listing reads one stretch of the tree.
    """
    CREATE TABLE property (
      folder     BLOB NOT NULL,  -- key of the folder that holds the resource
      name       BLOB NOT NULL,  -- the resource's last segment; empty only for the root
      namespace  BLOB NOT NULL,  -- of the property; may be empty
      local_name BLOB NOT NULL,
      value      BLOB NOT NULL,  -- XML text as the client wrote it
      PRIMARY KEY (folder, name, namespace, local_name)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE upload (
      owner         BLOB NOT NULL,     -- principal
      id            BLOB NOT NULL,     -- chosen by the client
      target        BLOB NOT NULL,     -- key of the path to be
      size          INTEGER,           -- announced total; NULL: not announced
      staging       BLOB NOT NULL,     -- where the parts are, in words of who stores them
      created_at_ns INTEGER NOT NULL,
      touched_at_ns INTEGER NOT NULL,  -- when the last part came
      PRIMARY KEY (owner, id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX upload_touched ON upload (touched_at_ns)",
    """
    CREATE TABLE upload_part (
      owner  BLOB NOT NULL,     -- owner and id of the upload
      id     BLOB NOT NULL,
      number INTEGER NOT NULL,  -- the order of the parts
      size   INTEGER NOT NULL,
      token  BLOB NOT NULL,     -- which stored part, in words of who stores it
      PRIMARY KEY (owner, id, number)
    ) WITHOUT ROWID
    """,
    f"PRAGMA application_id = {APPLICATION_ID}",
)

# Step n leads from user_version n to n + 1. A released step is never edited, only followed.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1,)
VERSION = len(MIGRATIONS)
