"""A certificate authority, made for each run: certificates of every kind, chains, and lists of revoked ones."""
import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


class Issued:
    """A key and its certificate as PEM files; the certificate's file holds the chain below the root, too."""

    def __init__(self, folder, name, key, certificate, chain):
        self.object = certificate
        self.private = key
        self.chain = chain
        self.certificate = folder / f"{name}.crt"
        self.key = folder / f"{name}.key"
        self.pem = b"".join(_pem(one) for one in [certificate, *chain])
        self.key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.certificate.write_bytes(self.pem)
        self.key.write_bytes(self.key_pem)

    @property
    def serial(self):
        return self.object.serial_number

    @property
    def digest(self):
        """SHA-256 over DER, in hexadecimal."""
        return self.object.fingerprint(hashes.SHA256()).hex()

    @property
    def not_after(self):
        """In seconds since 1970."""
        return int(self.object.not_valid_after_utc.timestamp())

    def setting(self):
        """As the configuration names it."""
        return {"certificate": str(self.certificate), "key": str(self.key)}


class Authority(Issued):
    """Signs certificates. `parent`: the authority above; without it, this one is a root."""

    def __init__(self, folder, name="ca", parent=None, days=30):
        self.folder = folder
        self.name = name
        self.revoked = []
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(f"{name} authority")
        certificate = _sign(
            subject, key.public_key(), parent, key, days, -1,
            [(x509.BasicConstraints(ca=True, path_length=None), True),
             (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)])
        super().__init__(folder, name, key, certificate, parent.intermediates if parent else [])
        self.is_root = parent is None

    @property
    def intermediates(self):
        """What has to be sent behind a certificate of this authority: everything but the root."""
        return [] if self.is_root else [self.object, *self.chain]

    def issue(self, name, hosts=(), uris=(), days=30, begins=-1, organization=None, common_name=None, usage=None):
        """A certificate for some names; `days` and `begins` say until and from when it is good, counted from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [_general_name(host) for host in hosts] + [x509.UniformResourceIdentifier(uri) for uri in uris]
        extensions = [(x509.BasicConstraints(ca=False, path_length=None), True),
                      (x509.ExtendedKeyUsage(usage or [ExtendedKeyUsageOID.SERVER_AUTH,
                                                       ExtendedKeyUsageOID.CLIENT_AUTH]), False)]
        if names:
            extensions.append((x509.SubjectAlternativeName(names), False))
        certificate = _sign(
            _name(common_name or name, organization), key.public_key(), self, self.private, days, begins, extensions)
        return Issued(self.folder, name, key, certificate, self.intermediates)

    def revoke(self, *certificates):
        self.revoked += [certificate.serial for certificate in certificates]
        return self

    def revocation_list(self, days=30):
        """The PEM of the list as it is now."""
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.object.subject)
                   .last_update(now - 2 * DAY).next_update(now + days * DAY))
        for serial in self.revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - DAY).build())
        return builder.sign(self.private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _sign(subject, public, issuer, key, days, begins, extensions):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder().subject_name(subject).public_key(public)
        .issuer_name(issuer.object.subject if issuer else subject).serial_number(x509.random_serial_number())
        .not_valid_before(now + min(begins, days - 1) * DAY).not_valid_after(now + days * DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False))
    if issuer:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.private.public_key()), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer.private if issuer else key, hashes.SHA256())


def _name(common, organization=None):
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _general_name(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)
