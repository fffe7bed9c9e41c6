//! Whom a sink trusts: the system's certificates, and perhaps one authority more.

use std::{error::Error, io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::ports::SinkError;

/// What `http://` needs of a connector that could do both. It trusts nobody.
///
/// # Errors
/// When the provider of cryptography cannot do TLS.
pub(super) fn trusts_nobody() -> Result<ClientConfig, SinkError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SinkError::Misconfigured(error.to_string()))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// A TLS configuration that trusts the system's authorities and those in `ca_file` (PEM).
///
/// # Errors
/// [`SinkError::Misconfigured`] when there are none, or the file holds none.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, SinkError> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read is one that nobody is trusted by.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let refuse =
            |what: String| SinkError::Misconfigured(format!("ca_file {}: {what}", path.display()));
        let found =
            CertificateDer::pem_file_iter(path).map_err(|error| refuse(error.to_string()))?;
        let mut added = 0;
        for certificate in found {
            let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
            roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
            added += 1;
        }
        if added == 0 {
            return Err(refuse("holds no certificate in PEM".to_owned()));
        }
    }
    if roots.is_empty() {
        return Err(SinkError::Misconfigured(
            "no CA certificates found: install the system's bundle (Debian: ca-certificates), or name \
             one in ca_file"
                .to_owned(),
        ));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SinkError::Misconfigured(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// What to say beside an error whose cause is a certificate that nobody here trusts: time does not
/// mend that.
pub(super) fn distrust(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return Some("look at the host in url, and at ca_file");
        }
        // The source of an I/O error is that of what is in it, which may be what is looked for.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
