"""What every group of settings is."""

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of `recount.toml`. A name that it does not have is refused: it is a slip of the pen."""
