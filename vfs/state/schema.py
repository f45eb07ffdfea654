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

# Sets of short texts (groups, scopes, keys) are JSON arrays: they are read and written whole.
_VERSION_2 = (
    """
    CREATE TABLE account (
      name          BLOB PRIMARY KEY,
      password_hash BLOB NOT NULL,    -- empty: no password
      email         BLOB NOT NULL,    -- empty: none
      groups        BLOB NOT NULL,    -- JSON
      public_keys   BLOB NOT NULL,    -- JSON, each in PEM form
      created_at_ns INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX account_email ON account (email)",
    # Without a foreign key: users of the configuration have app passwords too.
    """
    CREATE TABLE app_password (
      user          BLOB NOT NULL,
      label         BLOB NOT NULL,
      digest        BLOB NOT NULL,    -- SHA-256 of the secret
      scopes        BLOB NOT NULL,    -- JSON; an empty array is no bound
      created_at_ns INTEGER NOT NULL,
      expires_at_ns INTEGER,          -- NULL: never; from then on the row is dead
      PRIMARY KEY (user, label)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX app_password_digest ON app_password (user, digest)",
    "CREATE INDEX app_password_expires ON app_password (expires_at_ns)",
    """
    CREATE TABLE share (
      id            BLOB PRIMARY KEY,
      maker         BLOB NOT NULL,
      groups        BLOB NOT NULL,    -- JSON
      scopes        BLOB NOT NULL,    -- JSON
      note          BLOB NOT NULL,
      created_at_ns INTEGER NOT NULL,
      expires_at_ns INTEGER NOT NULL  -- from then on the row is dead
    ) WITHOUT ROWID
    """,
    "CREATE INDEX share_maker ON share (maker)",
    "CREATE INDEX share_expires ON share (expires_at_ns)",
    """
    CREATE TABLE revoked_token (
      id            BLOB PRIMARY KEY,
      expires_at_ns INTEGER NOT NULL  -- from then on the token is no good by itself
    ) WITHOUT ROWID
    """,
    "CREATE INDEX revoked_token_expires ON revoked_token (expires_at_ns)",
    """
    CREATE TABLE secret (
      name          BLOB PRIMARY KEY,
      sealed        BLOB NOT NULL,
      changed_at_ns INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    # One row: how often the tables of this step have changed.
    "CREATE TABLE account_generation (number INTEGER NOT NULL)",
    "INSERT INTO account_generation VALUES (1)",
)

_VERSION_3 = (
    """
    CREATE TABLE provenance (
      number          INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which they were kept
      id              BLOB NOT NULL UNIQUE,  -- of the computation
      key             BLOB NOT NULL,     -- of the result
      template        BLOB NOT NULL,
      template_digest BLOB NOT NULL,
      canonical       BLOB NOT NULL,     -- path below the processing mount
      source          BLOB NOT NULL,     -- path of the tree
      source_version  BLOB NOT NULL,
      steps           BLOB NOT NULL,     -- JSON: processor, version and parameters of each
      media_type      BLOB NOT NULL,
      size            INTEGER NOT NULL,
      sha256          BLOB NOT NULL,     -- of the result, in hexadecimal digits
      who             BLOB NOT NULL,     -- whose request had it computed; empty: nobody known
      timings         BLOB NOT NULL,     -- JSON: seconds by phase
      made_at_ns      INTEGER NOT NULL
    )
    """,
    "CREATE INDEX provenance_key ON provenance (key)",
    "CREATE INDEX provenance_source ON provenance (source)",
    "CREATE INDEX provenance_made ON provenance (made_at_ns)",
    """
    CREATE TABLE job (
      id            BLOB PRIMARY KEY,  -- random
      holder        BLOB NOT NULL,     -- whom it belongs to
      path          BLOB NOT NULL,     -- of the derived file in the tree
      state         TEXT NOT NULL,     -- running, done, failed, cancelled
      phase         BLOB NOT NULL,     -- what it does, in words of the processor
      place         INTEGER NOT NULL,  -- turns that it still waits
      done          INTEGER NOT NULL,
      whole         INTEGER NOT NULL,  -- of which so much is done; 0: not known
      status        INTEGER NOT NULL,  -- of a failure, as HTTP has it
      detail        BLOB NOT NULL,     -- of a failure
      created_at_ns INTEGER NOT NULL,
      touched_at_ns INTEGER NOT NULL   -- when its process last said that it is alive
    ) WITHOUT ROWID
    """,
    "CREATE INDEX job_holder ON job (holder)",
    "CREATE INDEX job_touched ON job (touched_at_ns)",
)

# A lock is written and ended in one page of the table and one of each index, and each page is a
# part of the log: so there is no index that does without.
_VERSION_4 = (
    # The key puts the members of a folder side by side, as that of properties does.
    """
    CREATE TABLE lock_by_place (
      folder          BLOB NOT NULL,     -- key of the folder that holds the lock root
      name            BLOB NOT NULL,     -- its last segment; empty only for the root
      token           TEXT NOT NULL,     -- "opaquelocktoken:" and a random UUID
      infinite        INTEGER NOT NULL,  -- 1: covers everything beneath, 0: the resource alone
      exclusive       INTEGER NOT NULL,  -- 1: tolerates no other, 0: shared
      owner_xml       BLOB NOT NULL,     -- what the client wrote about itself
      principal       BLOB NOT NULL,     -- who took it
      timeout_seconds INTEGER NOT NULL,  -- as granted last
      created_at_ns   INTEGER NOT NULL,
      expires_at_ns   INTEGER NOT NULL,  -- from then on the row is dead; swept by the next acquire
      PRIMARY KEY (folder, name, token)
    ) WITHOUT ROWID
    """,
    """
    INSERT INTO lock_by_place
    SELECT folder, name, token, infinite, exclusive, owner_xml, principal, timeout_seconds,
      created_at_ns, expires_at_ns
    FROM lock
    """,
    "DROP TABLE lock",
    "ALTER TABLE lock_by_place RENAME TO lock",
    "CREATE INDEX lock_principal ON lock (principal)",
    "CREATE INDEX lock_expires ON lock (expires_at_ns)",
)

# Step n leads from user_version n to n + 1. A released step is never edited, only followed.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)
VERSION = len(MIGRATIONS)
