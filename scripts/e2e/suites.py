"""Every ESP suite, spelt for Espalier, for scapy and for tshark, and written out once more with the library
`cryptography`: what a packet must be, to the last byte."""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from scapy.layers.inet import IP
from scapy.layers.ipsec import ESP, SecurityAssociation

try:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
except ImportError:
    TripleDES = algorithms.TripleDES


@dataclass(frozen=True)
class Hmac:
    words: str
    hash: str
    key: int
    icv: int
    scapy: str
    tshark: str


@dataclass(frozen=True)
class Suite:
    words: str  # As a transform set names it.
    key: int  # Bytes of the cipher's key, and of the salt behind it.
    salt: int
    iv: int
    block: int
    icv: int
    kind: str  # gcm, gmac, chacha, cbc, 3des, ctr or null
    hmac: Hmac = None
    scapy: str = None  # None: scapy does not have it.
    tshark: str = None


HMACS = (
    Hmac("esp-sha-hmac", "sha1", 20, 12, "HMAC-SHA1-96", "HMAC-SHA-1-96 [RFC2404]"),
    Hmac("esp-sha256-hmac", "sha256", 32, 16, "SHA2-256-128", "HMAC-SHA-256-128 [RFC4868]"),
    Hmac("esp-sha384-hmac", "sha384", 48, 24, "SHA2-384-192", "HMAC-SHA-384-192 [RFC4868]"),
    Hmac("esp-sha512-hmac", "sha512", 64, 32, "SHA2-512-256", "HMAC-SHA-512-256 [RFC4868]"),
)


def all_suites():
    for bits in (128, 192, 256):
        for icv in (8, 12, 16):
            words = f"esp-gcm {bits}" + (f" icv {icv}" if icv < 16 else "")
            tshark = f"AES-GCM with {icv} octet ICV [RFC4106]"
            # scapy ignores that an ICV is shorter.
            yield Suite(words, bits // 8, 4, 8, 4, icv, "gcm", None, "AES-GCM" if icv == 16 else None, tshark)
        yield Suite(f"esp-gmac {bits}", bits // 8, 4, 8, 4, 16, "gmac")
    yield Suite("esp-chacha20-poly1305", 32, 4, 8, 4, 16, "chacha", None, "CHACHA20-POLY1305")
    for mac in HMACS:
        yield Suite(f"esp-null {mac.words}", 0, 0, 0, 4, mac.icv, "null", mac, "NULL", "NULL")
        yield Suite(f"esp-3des {mac.words}", 24, 0, 8, 8, mac.icv, "3des", mac, "3DES", "TripleDES-CBC [RFC2451]")
        for bits in (128, 192, 256):
            cbc = ("cbc", mac, "AES-CBC", "AES-CBC [RFC3602]")
            ctr = ("ctr", mac, "AES-CTR", "AES-CTR [RFC3686]")
            yield Suite(f"esp-aes {bits} {mac.words}", bits // 8, 0, 16, 16, mac.icv, *cbc)
            yield Suite(f"esp-aes-ctr {bits} {mac.words}", bits // 8, 4, 8, 4, mac.icv, *ctr)


@dataclass(frozen=True)
class Association:
    """One SA of one suite: keys that a test draws from its name."""

    suite: Suite
    spi: int
    esn: bool

    def _key(self, what, length):
        return hashlib.shake_256(f"{self.suite.words} {self.spi} {self.esn} {what}".encode()).digest(length)

    @property
    def cipher_key(self):
        """The key, and the salt behind it."""
        return self._key("cipher", self.suite.key + self.suite.salt)

    @property
    def hmac_key(self):
        return self._key("hmac", self.suite.hmac.key) if self.suite.hmac else b""

    @property
    def words(self):
        """What stands behind `set session-key inbound|outbound`."""
        cipher = f" cipher {self.cipher_key.hex()}" if self.cipher_key else ""
        return f"esp {self.spi}{cipher}" + (f" authenticator {self.hmac_key.hex()}" if self.hmac_key else "")

    @property
    def known_to_scapy(self):
        """scapy before 2.6 forgets the high half of an extended sequence number where there is an HMAC."""
        return self.suite.scapy is not None and not (self.esn and self.suite.hmac)

    def scapy(self, source, destination, high=0):
        return SecurityAssociation(
            ESP,
            spi=self.spi,
            crypt_algo=self.suite.scapy,
            crypt_key=self.cipher_key or None,
            auth_algo=self.suite.hmac.scapy if self.suite.hmac else None,
            auth_key=self.hmac_key or None,
            tunnel_header=IP(src=source, dst=destination),
            esn_en=self.esn,
            esn=high,
        )

    # --- The suite, from the RFCs ----------------------------------------------------------------------------------

    def _block_cipher(self):
        key = self.cipher_key[: self.suite.key]
        return TripleDES(key) if self.suite.kind == "3des" else algorithms.AES(key)

    def _mode(self, iv):
        if self.suite.kind == "ctr":
            return modes.CTR(self.cipher_key[-4:] + iv + b"\0\0\0\1")
        return modes.CBC(iv)

    def seal(self, sequence, iv, text):
        """The ESP packet around a text that ends with its trailer."""
        suite, salt = self.suite, self.cipher_key[-4:]
        high, low = (sequence >> 32).to_bytes(4, "big"), (sequence & 0xFFFFFFFF).to_bytes(4, "big")
        header = self.spi.to_bytes(4, "big") + low
        aad = header[:4] + high + low if self.esn else header
        key = self.cipher_key[: suite.key]
        if suite.kind == "gcm":
            sealed = AESGCM(key).encrypt(salt + iv, text, aad)
            return header + iv + sealed[: len(text) + suite.icv]
        if suite.kind == "gmac":
            return header + iv + text + AESGCM(key).encrypt(salt + iv, b"", aad + iv + text)
        if suite.kind == "chacha":
            return header + iv + ChaCha20Poly1305(key).encrypt(salt + iv, text, aad)
        if suite.kind != "null":
            text = Cipher(self._block_cipher(), self._mode(iv)).encryptor().update(text)
        covered = header + iv + text
        mac = hmac.new(self.hmac_key, covered + (high if self.esn else b""), suite.hmac.hash).digest()
        return covered + mac[: suite.icv]

    def text(self, packet):
        """What an ESP packet holds, trailer and all; nothing is verified."""
        suite = self.suite
        iv, text = packet[8 : 8 + suite.iv], packet[8 + suite.iv : len(packet) - suite.icv]
        if suite.kind in ("gmac", "null"):
            return text
        if suite.kind == "gcm":
            counter = self.cipher_key[-4:] + iv + b"\0\0\0\2"
            return Cipher(algorithms.AES(self.cipher_key[:-4]), modes.CTR(counter)).decryptor().update(text)
        if suite.kind == "chacha":
            key = algorithms.ChaCha20(self.cipher_key[:-4], b"\1\0\0\0" + self.cipher_key[-4:] + iv)
            return Cipher(key, None).decryptor().update(text)
        return Cipher(self._block_cipher(), self._mode(iv)).decryptor().update(text)

    def counter(self, packet):
        """The counter that the IV was made of: as it is, or encrypted as the block before the text. None without IV."""
        iv = packet[8 : 8 + self.suite.iv]
        if not iv:
            return None
        if self.suite.kind in ("cbc", "3des"):
            zero = modes.CBC(bytes(len(iv)))
            iv = Cipher(self._block_cipher(), zero).decryptor().update(iv)
        if iv[:-8].strip(b"\0"):
            raise ValueError(f"the IV is no counter: {iv.hex()}")
        return int.from_bytes(iv[-8:], "big")
