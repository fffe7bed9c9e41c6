//! A certificate authority of one's own, made by `openssl`.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

/// The authority, and the certificates that it has signed.
pub(crate) struct Authority {
    dir: TempDir,
}

/// A server's certificate and key, in PEM.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    /// `None` without `openssl`, if nobody insists.
    pub(crate) fn make() -> Option<Self> {
        if !has_openssl() {
            return None;
        }
        let authority = Self { dir: TempDir::new().unwrap() };
        let made = authority.file("ca");
        sign(&made, &["-subj", "/CN=an authority of the tests"]);
        Some(authority)
    }

    /// Whom to trust.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.file("ca").certificate
    }

    /// A certificate for these names, as `subjectAltName` has them: `DNS:localhost,IP:127.0.0.1`.
    pub(crate) fn certificate(&self, names: &str) -> Certificate {
        let made = self.file(&names.replace([':', ','], "-"));
        let ca = self.file("ca");
        let [ca, key] = [&ca.certificate, &ca.key].map(|path| path.to_str().unwrap());
        let names = format!("subjectAltName={names}");
        let server = ["-subj", "/CN=a server of the tests", "-CA", ca, "-CAkey", key];
        let extensions = ["-addext", &names, "-addext", "basicConstraints=critical,CA:FALSE"];
        sign(&made, &[&server[..], &extensions].concat());
        made
    }

    fn file(&self, name: &str) -> Certificate {
        let at = |ending: &str| self.dir.path().join(format!("{name}.{ending}"));
        Certificate { certificate: at("pem"), key: at("key") }
    }
}

/// Whether `openssl` is there, if nobody insists.
pub(crate) fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok();
    if !found {
        let required = std::env::var("SHARDWRIGHT_REQUIRE_SERVERS").is_ok_and(|it| it == "1");
        assert!(!required, "openssl is missing");
        // Past the test harness, which shows what a passed test prints to nobody.
        let _ = writeln!(std::io::stderr(), "skipped: openssl is missing");
    }
    found
}

/// Runs it, and it succeeds.
pub(crate) fn openssl(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn sign(made: &Certificate, rest: &[&str]) {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-nodes", "-days", "2"])
        .args(rest)
        .args([Path::new("-out"), &made.certificate, Path::new("-keyout"), &made.key]);
    openssl(&mut command);
}

impl Certificate {
    /// What a server of our own shows.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_file(&self.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
