"""How values are written as JSON, whichever way they leave: what JSON cannot say becomes text."""

from __future__ import annotations

import msgspec

encoder = msgspec.json.Encoder(enc_hook=str, decimal_format="number")
