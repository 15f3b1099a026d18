"""Certificates as an operator makes them, with openssl."""

import pathlib
import ssl
import subprocess


class Certificates:
    """An authority, and certificates of its for a server on this machine and for a client; and an authority that
    vouches for neither."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        for authority in "authority", "stranger":
            self._key(authority)
            self._openssl("req", "-x509", "-new", "-key", f"{authority}.key", "-days", "2", "-subj", f"/CN={authority}",
                          "-out", f"{authority}.pem")
        for name, usage in ("server", "serverAuth"), ("client", "clientAuth"):
            self._key(name)
            self._openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
            # etcd asks itself with the server's, for its own gateway.
            usages = f"extendedKeyUsage={usage}" + (",clientAuth" if name == "server" else "")
            (self.folder / f"{name}.ext").write_text(f"subjectAltName=IP:127.0.0.1,DNS:localhost\n{usages}\n")
            self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "authority.pem", "-CAkey", "authority.key",
                          "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def path(self, name):
        return str(self.folder / name)

    def context(self):
        """For a client in Python."""
        context = ssl.create_default_context(cafile=self.path("authority.pem"))
        context.load_cert_chain(self.path("client.pem"), self.path("client.key"))
        return context

    def settings(self):
        """A node's, for etcd."""
        return {"etcd.ssl.ca.location": self.path("authority.pem"),
                "etcd.ssl.certificate.location": self.path("client.pem"),
                "etcd.ssl.key.location": self.path("client.key")}

    def _key(self, name):
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)
