//! gRPC over a unix socket: one call, bounded in time and size. The few messages that are needed are written by hand in
//! [`super::containerd`] and [`super::cri`]; field numbers are those of the published `.proto` files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use prost::Message;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// Longest answer, and longest wait for it and for the connection.
const ANSWER_MAX: usize = 4 << 20;
const TIMEOUT: Duration = Duration::from_secs(1);

/// A connection to one socket. It connects at the first call and again when it broke.
#[derive(Clone)]
pub(super) struct Connection(Channel);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not know the container (yet).
    NotFound,
    /// It has no such service: asking again is useless.
    Unimplemented,
    /// No answer, or a broken one.
    Failed,
}

impl Connection {
    pub fn new(socket: &Path) -> Self {
        let socket: PathBuf = socket.into();
        // The authority is not used for a unix socket, but HTTP/2 wants one.
        let endpoint = Endpoint::from_static("http://localhost").connect_timeout(TIMEOUT).timeout(TIMEOUT);
        Self(endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
        })))
    }

    /// One unary call. `namespace`: containerd's, sent as metadata.
    pub async fn call<Q, A>(
        &self,
        method: &'static str,
        request: Q,
        namespace: Option<&str>,
    ) -> Result<A, Refusal>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut request = Request::new(request);
        if let Some(namespace) = namespace {
            let value: AsciiMetadataValue = namespace.parse().map_err(|_| Refusal::Failed)?;
            request.metadata_mut().insert("containerd-namespace", value);
        }
        let mut client = tonic::client::Grpc::new(self.0.clone()).max_decoding_message_size(ANSWER_MAX);
        let call = async {
            client.ready().await.map_err(|_| Refusal::Failed)?;
            let path = Uri::from_static(method).into_parts().path_and_query.ok_or(Refusal::Failed)?;
            client
                .unary(request, path, ProstCodec::<Q, A>::default())
                .await
                .map_err(|status| refusal(&status))
        };
        let answer = tokio::time::timeout(TIMEOUT, call).await.map_err(|_| Refusal::Failed)??;
        Ok(answer.into_inner())
    }
}

fn refusal(status: &Status) -> Refusal {
    match status.code() {
        Code::NotFound => Refusal::NotFound,
        Code::Unimplemented => Refusal::Unimplemented,
        _ => Refusal::Failed,
    }
}
