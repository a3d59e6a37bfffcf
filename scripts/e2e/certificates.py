"""A certification authority of a test's own."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

_CURVES = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}


def _key(kind):
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(_CURVES[kind]())


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs certificates, and writes them and their keys to files in a folder."""

    def __init__(self, folder):
        self.folder, self.key, self.count = folder, _key("p256"), 0
        certificate = self._build("authority", self.key, x509.BasicConstraints(ca=True, path_length=None))
        self.path = self._write("authority.pem", certificate)

    def issue(self, host, kind, others=0):
        """A certificate for a host, and for so many other names, with a key of that kind: the paths of both."""
        key = _key(kind)
        names = [host, *(f"{number}.{host}" for number in range(others))]
        certificate = self._build(host, key, x509.SubjectAlternativeName([x509.DNSName(name) for name in names]))
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self.folder / f"{self.count}.key"
        path.touch(mode=0o600)
        path.write_bytes(secret)
        return self._write(f"{self.count}.pem", certificate), path

    def _build(self, name, key, extension):
        self.count += 1
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name("authority"))
            .public_key(key.public_key())
            .serial_number(self.count)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())

    def _write(self, name, certificate):
        path = self.folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path
