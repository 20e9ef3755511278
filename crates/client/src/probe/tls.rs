//! The certificate, in words.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::MaybeTlsStream;

use super::{Finding, Step};
use crate::error::Error;
use crate::server::Server;

/// What a certificate that may be somebody else's means.
const IN_BETWEEN: &str =
    "or somebody stands in between: on a guest network, open a web page first, it may want a log-in";

/// Speaks TLS where the address says so.
pub(super) async fn secured(
    server: &Server,
    stream: TcpStream,
    patience: Duration,
    found: &mut dyn FnMut(Finding),
) -> Result<MaybeTlsStream<TcpStream>, Box<Finding>> {
    if !server.is_secure() {
        return Ok(MaybeTlsStream::Plain(stream));
    }
    let failed = |(said, advice): (String, String)| {
        let error = Error::Connect(format!("no TLS with {server}: {said}"));
        Box::new(Finding::failure(Step::Tls, error, advice))
    };
    let config =
        config().map_err(|reason| failed((reason, "install the system's certificates (ca-certificates)".into())))?;
    let name = ServerName::try_from(server.host().to_owned());
    let name = name
        .map_err(|_| failed(("the host cannot stand in a certificate".into(), "name the server by its name".into())))?;
    match timeout(patience, TlsConnector::from(Arc::new(config)).connect(name, stream)).await {
        Ok(Ok(stream)) => {
            found(Finding::fine(Step::Tls, format!("the certificate is good for {}", server.host())));
            Ok(MaybeTlsStream::Rustls(stream))
        }
        Ok(Err(error)) => Err(failed(words(server, &error))),
        Err(_) => Err(failed((
            "what listens there does not answer".to_owned(),
            "another program may have that port: check it with the operator".to_owned(),
        ))),
    }
}

/// As the client itself connects: by the certificates that this machine trusts.
fn config() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if trusted == 0 {
        return Err("this machine trusts nobody: it has no certificates of authorities".to_owned());
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// What went wrong, and what to do about it.
fn words(server: &Server, error: &io::Error) -> (String, String) {
    use rustls::Error as Tls;
    let (host, port) = (server.host(), server.port());
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::InvalidCertificate(reason)) => certificate(host, reason),
        Some(Tls::InvalidMessage(_)) => (
            "what answers does not speak TLS".to_owned(),
            format!("port {port} is another one than that of the proxy that ends TLS: check it with the operator"),
        ),
        Some(Tls::AlertReceived(AlertDescription::UnrecognisedName)) => (
            format!("the server has no certificate for {host}"),
            "check the spelling of the server's name; the operator has to get a certificate for it".to_owned(),
        ),
        Some(Tls::AlertReceived(AlertDescription::ProtocolVersion) | Tls::PeerIncompatible(_)) => (
            "the server speaks only versions of TLS that are not safe any more".to_owned(),
            "the operator has to switch on TLS 1.2 or 1.3".to_owned(),
        ),
        Some(other) => (other.to_string(), "show this to the operator".to_owned()),
        None => (
            format!("the connection was cut ({error})"),
            format!("check with the operator whether port {port} is meant for TLS"),
        ),
    }
}

fn certificate(host: &str, reason: &CertificateError) -> (String, String) {
    use CertificateError as Reason;
    let renew = "check this machine's date first; if it is right, the operator has to renew the certificate";
    match reason {
        Reason::Expired | Reason::ExpiredContext { .. } => {
            ("its certificate is no longer valid".to_owned(), renew.to_owned())
        }
        Reason::NotValidYet | Reason::NotValidYetContext { .. } => {
            ("its certificate is not valid yet".to_owned(), "check this machine's date".to_owned())
        }
        Reason::UnknownIssuer => (
            "its certificate is signed by nobody whom this machine trusts (perhaps by itself)".to_owned(),
            format!(
                "the operator has to get a certificate from a public authority; one of your own belongs into this machine's \
                 certificates; {IN_BETWEEN}"
            ),
        ),
        Reason::NotValidForName => (format!("its certificate is not for {host}"), another_name()),
        Reason::NotValidForNameContext { presented, .. } => {
            let names: Vec<_> =
                presented.iter().take(5).map(|name| name.chars().take(80).collect::<String>()).collect();
            (format!("its certificate is not for {host}, but for {}", names.join(", ")), another_name())
        }
        Reason::Revoked => {
            ("its certificate has been revoked".to_owned(), "do not go on; speak to the operator".to_owned())
        }
        other => (format!("its certificate is not accepted: {other}"), "show this to the operator".to_owned()),
    }
}

fn another_name() -> String {
    format!("dial the name that stands in the certificate, if that is the server you mean; {IN_BETWEEN}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(error: rustls::Error) -> (String, String) {
        let server = "wss://chat.example.org".parse().unwrap();
        words(&server, &io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn each_fault_of_a_certificate_has_words_and_a_remedy() {
        for (reason, in_words, remedy) in [
            (CertificateError::Expired, "no longer valid", "date"),
            (CertificateError::NotValidYet, "not valid yet", "date"),
            (CertificateError::UnknownIssuer, "signed by nobody", "authority"),
            (CertificateError::NotValidForName, "not for chat.example.org", "name"),
            (CertificateError::Revoked, "revoked", "do not go on"),
            (CertificateError::BadSignature, "not accepted", "operator"),
        ] {
            let (words, advice) = said(rustls::Error::InvalidCertificate(reason));
            assert!(words.contains(in_words) && advice.contains(remedy), "{words}: {advice}");
        }
    }

    #[test]
    fn the_names_of_a_certificate_are_told_but_not_without_end() {
        let expected = ServerName::try_from("chat.example.org").unwrap();
        let presented = (0..100).map(|n| format!("{n}{}", "x".repeat(200))).collect();
        let (words, _) = certificate("h", &CertificateError::NotValidForNameContext { expected, presented });
        assert!(words.contains("0xxx") && words.len() < 600, "{words}");
    }
}
