"""Makes codes-v1.json: linking and recovery secrets (protocol sections 2 and 5), without any code of Sealwire's.

Needs Python 3 and its `cryptography` package: `python3 make.py > codes-v1.json`. HKDF is written out here from RFC 5869.
"""

import hashlib
import hmac
import json
import struct
from base64 import b64encode

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def extract(salt, ikm):
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def expand(prk, info, length):
    out, block, n = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([n]), hashlib.sha256).digest()
        out, n = out + block, n + 1
    return out[:length]


def lp(data):
    return struct.pack(">I", len(data)) + data


def b64(data):
    return b64encode(data).decode()


def linking(typed, read, iv1, json1, iv2, json2):
    prk = extract(b"", read)
    slot = expand(prk, b"sealwire/v1 link-slot", 16)
    key = expand(prk, b"sealwire/v1 link-key", 32)
    sides = []
    for side, iv, text in ((1, iv1, json1), (2, iv2, json2)):
        sealed = iv + AESGCM(key).encrypt(iv, text, slot + bytes([side]))
        sides.append({"side": side, "json": text.decode(), "data": b64(sealed)})
    return {"typed": typed, "code": read.decode(), "slot": b64(slot), "sides": sides}


def recovery(typed, read, username, iv, text):
    prk = extract(lp(username), read)
    ident = expand(prk, b"sealwire/v1 backup-id", 32)
    key = expand(prk, b"sealwire/v1 backup-key", 32)
    aad = lp(b"sealwire/v1 backup") + lp(username)
    data = b"\x01" + iv + AESGCM(key).encrypt(iv, text, aad)
    return {"typed": typed, "code": read.decode(), "username": username.decode(), "backupId": b64(ident),
            "backupKey": b64(key), "json": text.decode(), "data": b64(data)}


print(json.dumps({
    "linking": [
        linking("01ab2-cde3f-ghj4k-mnp5q-rst6v-z", b"01AB2CDE3FGHJ4KMNP5QRST6VZ",
                bytes(range(12)), b'{"deviceName":"laptop"}', bytes(range(12, 24)), b'{"username":"alice"}'),
        linking("oILO0 ZZZZZ YYYYY XXXXX WWWWW V", b"01100ZZZZZYYYYYXXXXXWWWWWV",
                bytes([255] * 12), b"{}", bytes([1] * 12), b""),
    ],
    "recovery": [
        recovery("01ab2-cde3f-ghj4k-mnp5q-rst6v-wxyz0", b"01AB2CDE3FGHJ4KMNP5QRST6VWXYZ0", b"alice",
                 bytes(range(12)), b'{"version":3}'),
        recovery("lllll ooooo 22222 33333 44444 55555", b"111110000022222333334444455555", b"a.b-c_d9",
                 bytes([7] * 12), b"{}"),
    ],
}, indent=2))
