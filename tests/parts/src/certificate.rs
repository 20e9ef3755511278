//! The certificate that parts with TLS show. It and its key lie with the tests, so neither keeps anything secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A certificate for `localhost`, signed by itself; PEM.
pub const SELF_SIGNED: &str = include_str!("../../certificates/good.pem");

/// Its key; PEM.
pub fn key() -> String {
    let key = STANDARD.encode(include_bytes!("../../keys/k0.der"));
    let lines: Vec<&str> = (0..key.len()).step_by(64).map(|at| &key[at..key.len().min(at + 64)]).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}
