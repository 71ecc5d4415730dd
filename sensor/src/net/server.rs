//! Accepts connections and serves them within [`Limits`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, CONTENT_TYPE, EXPECT, HOST, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::Service as _;

use super::body::{Answering, Exchange, Limited};
use super::places::{Place, Places};
use super::stream::Stream;
use super::{Counters, Limits, Refusal};

/// How long to wait when the system gives no connection.
const PAUSE: Duration = Duration::from_millis(100);
/// Requests at a time in one connection of HTTP/2, and bytes that may come unasked for each and for all of them.
const STREAMS: u32 = 32;
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;

/// What all connections share.
struct Server {
    router: Router,
    limits: Limits,
    counters: Arc<Counters>,
}

/// The place of the connection was taken away before the request was looked at; it is closed without an answer, which clients
/// take as a reason to send again.
#[derive(Debug, thiserror::Error)]
#[error("the connection made room for another one")]
struct Lost;

/// Serves `router` on `listener` until `stop` turns true or its sender is gone. Requests that are open then have [`Limits::grace`];
/// idle connections are closed at once. Handlers find the client's address in [`ConnectInfo`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    counters: Arc<Counters>,
    stop: watch::Receiver<bool>,
) {
    let places = Places::new(limits.clone(), counters.clone());
    let builder = builder(&limits);
    let grace = limits.grace;
    let server = Arc::new(Server { router, limits, counters });
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // The client gave up, or there are no more descriptors: an idle connection has one to give.
                    tracing::warn!(%error, "cannot accept a connection");
                    server.counters.refuse(Refusal::Accept);
                    places.make_room();
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let place = Arc::new(places.take().await);
            // Only a hint: without it small messages are held back a little.
            _ = stream.set_nodelay(true);
            connections.spawn(connection(server.clone(), builder.clone(), stream, peer, place, stop.clone()));
            while connections.try_join_next().is_some() {}
        }
    };
    let mut stopped = stop.clone();
    tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => {}
        () = places.watch() => {}
        () = accept => {}
    }
    drop(listener);
    let rest = async { while connections.join_next().await.is_some() {} };
    let timed_out = tokio::select! {
        () = rest => false,
        () = places.watch() => false,
        () = tokio::time::sleep(grace) => true,
    };
    if timed_out {
        tracing::warn!("requests were still open at the end");
        connections.shutdown().await;
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    if !limits.http2 {
        builder = builder.http1_only();
    }
    // The times are kept by the table of places.
    builder.http1().max_buf_size(limits.head_bytes).header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
    builder
}

async fn connection(
    server: Arc<Server>,
    builder: Builder<TokioExecutor>,
    stream: TcpStream,
    peer: SocketAddr,
    place: Arc<Place>,
    mut stop: watch::Receiver<bool>,
) {
    let io = TokioIo::new(Stream::new(stream, place.clone()));
    let service = service_fn(|request: Request<Incoming>| {
        let http2 = request.version() == Version::HTTP_2;
        let busy = place.begin(http2);
        let server = server.clone();
        async move {
            let busy = busy.ok_or(Lost)?;
            // HTTP/2 ends a request without ending the connection.
            let exchange = (!http2).then(|| Exchange::new(request.headers().contains_key(EXPECT)));
            let answer = server.answer(request, peer, exchange.clone()).await;
            Ok::<_, Lost>(answer.map(|body| Answering::new(body, exchange, busy)))
        }
    });
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = place.lost() => return,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                if !place.busy() {
                    return;
                }
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
        match error.downcast_ref::<hyper::Error>() {
            Some(error) if error.is_parse_too_large() => server.counters.refuse(Refusal::HeadBytes),
            Some(error) if error.is_parse() => server.counters.refuse(Refusal::Malformed),
            _ => {}
        }
    }
}

impl Server {
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        exchange: Option<Arc<Exchange>>,
    ) -> Response<Body> {
        let expects = request.headers().contains_key(EXPECT);
        let hosts = request.headers().get_all(HOST).iter().count();
        let hostless = request.version() == Version::HTTP_11 && hosts == 0;
        let body = |body| Limited::new(body, &self.limits, exchange.clone(), self.counters.clone());
        let mut request = request.map(|incoming| Body::new(body(incoming)));
        let mut answer = if hostless || hosts > 1 {
            self.counters.refuse(Refusal::Host);
            drop(request);
            refuse(StatusCode::BAD_REQUEST, "a request needs one `Host`\n")
        } else {
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer: Result<_, Infallible> = self.router.clone().call(request).await;
            match answer {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        };
        // A client that waits for `100 Continue` may send its body or not; only the end of the connection is unmistakable.
        if expects && exchange.is_some_and(|exchange| exchange.left()) {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// A refusal before any handler sees the request.
fn refuse(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
