"""Self-signed certificates, made for each run."""
import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Certificate:
    """A key and a self-signed certificate for some names, as PEM files."""

    def __init__(self, folder, name, hosts, serial=None):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        now = datetime.datetime.now(datetime.timezone.utc)
        built = (
            x509.CertificateBuilder()
            .subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256()))
        self.serial = built.serial_number
        self.pem = built.public_bytes(serialization.Encoding.PEM)
        self.certificate = folder / f"{name}.crt"
        self.key = folder / f"{name}.key"
        self.certificate.write_bytes(self.pem)
        self.key.touch(mode=0o600)
        self.key.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def setting(self):
        """As the configuration names it."""
        return {"certificate": str(self.certificate), "key": str(self.key)}


def _general_name(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def serial_of(der):
    """The serial number of a certificate in DER, as an `ssl` socket hands it out."""
    return x509.load_der_x509_certificate(der).serial_number
