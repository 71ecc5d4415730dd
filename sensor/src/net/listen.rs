//! An address to listen on.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Nothing can listen there.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("port {port} on {address} is in use by another process; stop it or set `{key}`")]
    InUse { address: String, port: u16, key: &'static str },
    #[error("cannot listen on port {port} of {address}: {cause}; see `{key}`")]
    Bind { address: String, port: u16, key: &'static str, cause: io::Error },
}

/// Listens on `port` (0: any free one) of `address`, all addresses if that is empty; where that is. An error names the configuration's `key` for the
/// part that does not do: `keys` are those of address and port.
pub async fn listen(
    address: &str,
    port: u16,
    keys: (&'static str, &'static str),
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let bound = if address.is_empty() {
        // Both families where there is IPv6.
        match TcpListener::bind(("::", port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind(("0.0.0.0", port)).await
            }
            bound => bound,
        }
    } else {
        TcpListener::bind((address, port)).await
    };
    bound.and_then(|listener| listener.local_addr().map(|local| (listener, local))).map_err(|cause| {
        let address = if address.is_empty() { "all addresses" } else { address }.to_owned();
        match cause.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address, port, key: keys.1 },
            // Ports below 1024 are for root.
            io::ErrorKind::PermissionDenied => ListenError::Bind { address, port, key: keys.1, cause },
            _ => ListenError::Bind { address, port, key: keys.0, cause },
        }
    })
}
