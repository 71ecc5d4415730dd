//! Addresses, answers, redirects and TLS, against real servers on the loopback interface.

use super::*;
use crate::outputs::testing::{Reply, Server, answer};

fn options() -> ClientOptions {
    ClientOptions { timeout: Duration::from_millis(300), ..ClientOptions::new("test", "falconet-test") }
}

async fn get(server: &Server, target: &str) -> Result<Answer, SendError> {
    let url = endpoint("test", &server.url(target)).unwrap();
    let client = options().client(&url).unwrap();
    super::send(&client, &Method::POST, &url, &HeaderMap::new(), Bytes::from_static(b"{}")).await
}

#[test]
fn wrong_addresses_name_key_and_remedy() {
    for (address, says) in [
        ("example.org/hook", "not a URL"),
        ("ftp://example.org/", "scheme `ftp`"),
        ("nats://example.org/", "scheme `nats`"),
        ("https://", "not a URL"),
        ("https://example.org:99999/", "not a URL"),
        ("https://example.org/a#b", "%23"),
        ("https://example.org/a b", "percent-encode"),
        ("https://example.org/a?q='x'", "percent-encode"),
        ("https://example.org/a/../b", "changed on the way"),
    ] {
        let error = endpoint("webhook.address", &Secret::new(address)).unwrap_err().to_string();
        assert!(error.starts_with("webhook.address: "), "{error}");
        assert!(error.contains(says), "{address}: {error}");
    }
}

#[test]
fn an_address_keeps_its_path_and_query() {
    for address in [
        "https://example.org",
        "https://example.org/",
        "https://example.org?x=1",
        "https://example.org:443/powerautomate/workflows/a%2Fb//c?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=aB-_~.%2b%2F%3D=",
        "http://user:secret@127.0.0.1:8080/x?",
    ] {
        let url = endpoint("key", &Secret::new(address)).unwrap();
        assert!(!masked(&url).contains("sig") && !masked(&url).contains("secret"), "{}", masked(&url));
    }
}

#[tokio::test]
async fn the_signed_query_arrives_byte_for_byte() {
    let server = Server::start(|_, _| answer(202, "")).await;
    let target = "/workflows/a%2Fb/triggers?api-version=1&sp=%2Ftriggers&sv=1.0&sig=a-b_c~d.%2bE%2F%3D=";
    get(&server, target).await.unwrap().verdict().unwrap();
    assert_eq!(server.received()[0].target, target);
}

#[tokio::test]
async fn answers_are_sorted_into_success_retry_and_refusal() {
    let server = Server::start(|_, request| {
        let status = request.target.trim_start_matches('/').parse().unwrap();
        Reply::Answer(status, vec![("retry-after", "7".into())], "why\nnot".into())
    })
    .await;
    let mut seen = Vec::new();
    for status in [200, 201, 202, 204, 400, 401, 403, 404, 408, 410, 413, 422, 425, 429, 500, 502, 503, 504] {
        let verdict = get(&server, &format!("/{status}")).await.unwrap().verdict();
        seen.push(match verdict {
            Ok(()) => 'o',
            Err(SendError::Retry { after, suspect, reason }) => {
                assert_eq!(after, Some(Duration::from_secs(7)));
                assert!(reason.contains(&status.to_string()) && reason.ends_with(r"why\nnot"), "{reason}");
                if suspect { 's' } else { 'r' }
            }
            Err(SendError::Permanent { reason }) => {
                assert!(reason.contains(&status.to_string()), "{reason}");
                'p'
            }
            Err(SendError::Stop { .. }) => 'x',
        });
    }
    assert_eq!(seen.into_iter().collect::<String>(), "oooopppprppprrssss");
}

#[tokio::test]
async fn silence_and_refused_connections_are_tried_again_without_telling_the_address() {
    let server = Server::start(|_, _| Reply::Silence).await;
    let error = get(&server, "/secret-path?sig=secret").await.unwrap_err();
    assert!(
        matches!(&error, SendError::Retry { suspect: true, reason, .. } if reason.contains("no answer in time")),
        "{error}"
    );
    assert!(!error.to_string().contains("secret"), "{error}");
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let url: Url = format!("http://{closed}/secret-path?sig=secret").parse().unwrap();
    let client = options().client(&url).unwrap();
    let error = send(&client, &Method::POST, &url, &HeaderMap::new(), Bytes::new()).await.unwrap_err();
    assert!(
        matches!(&error, SendError::Retry { suspect: false, reason, .. } if reason.contains("refused")),
        "{error}"
    );
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn only_the_beginning_of_an_answer_is_read() {
    let server = Server::start(|_, _| answer(400, &"x".repeat(1 << 20))).await;
    let answer = get(&server, "/").await.unwrap();
    assert_eq!(answer.body.len(), ANSWER_LIMIT);
    assert!(answer.reason().len() < 300);
}

#[tokio::test]
async fn a_redirect_is_followed_on_the_same_host_only_and_with_its_body() {
    let elsewhere = Server::start(|_, _| answer(200, "")).await;
    let there = elsewhere.address;
    let server = Server::start(move |_, request| {
        let to = |status, location: &str| {
            Reply::Answer(status, vec![("location", location.into())], String::new())
        };
        match request.target.as_str() {
            "/same" => to(307, "/final"),
            "/moved" => to(302, "/final"),
            "/other" => to(307, &format!("http://{there}/steal?token=1")),
            "/loop" => to(308, "/loop"),
            _ => answer(200, ""),
        }
    })
    .await;
    get(&server, "/same").await.unwrap().verdict().unwrap();
    let last = server.received().pop().unwrap();
    assert_eq!(
        (last.target.as_str(), last.method.as_str(), last.body.as_slice()),
        ("/final", "POST", &b"{}"[..])
    );
    for target in ["/moved", "/other", "/loop"] {
        let error = get(&server, target).await.unwrap().verdict().unwrap_err();
        assert!(
            matches!(&error, SendError::Permanent { reason } if reason.contains("redirect")),
            "{target}: {error}"
        );
        assert!(!error.to_string().contains("token"), "{error}");
    }
    assert!(elsewhere.received().is_empty());
}

/// Files of a self-made authority, a server certificate of it for 127.0.0.1, and a client certificate.
fn certificates(directory: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

    let write = |name: &str, pem: String| fs::write(directory.join(name), pem).unwrap();
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    write("ca.crt", authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    for (name, usage) in
        [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let mut subject = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        subject.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        write(&format!("{name}.crt"), subject.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

/// Answers 200 to each connection that completes a TLS handshake; with `ask`, only to clients with a certificate.
fn tls_server(directory: &Path, ask: bool) -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let read = |name: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(directory.join(name)).unwrap().map(Result::unwrap).collect()
    };
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(read("ca.crt").remove(0)).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if ask {
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let config = Arc::new(builder.with_single_cert(read("server.crt"), key).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            // A client that does not trust us breaks off here.
            if stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
                _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                _ = stream.flush();
            }
        }
    });
    address
}

#[tokio::test]
async fn certificates_are_verified_and_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    certificates(path);
    let tls = Tls {
        ca: None,
        client_cert: path.join("client.crt"),
        client_key: path.join("client.key"),
        mutual_ca: path.join("ca.crt"),
    };
    let with_ca = Tls { ca: Some(path.join("ca.crt")), ..tls.clone() };
    let plain = tls_server(path, false);
    let mutual = tls_server(path, true);
    for (address, tls, mutualtls, checkcert, works) in [
        (plain, &tls, false, true, false),
        (plain, &with_ca, false, true, true),
        (plain, &tls, false, false, true),
        (mutual, &with_ca, false, true, false),
        (mutual, &tls, true, true, true),
    ] {
        let url: Url = format!("https://{address}/").parse().unwrap();
        let options = ClientOptions::falcosidekick("webhook", tls, mutualtls, checkcert);
        let client = options.client(&url).unwrap();
        let result = send(&client, &Method::POST, &url, &HeaderMap::new(), Bytes::from_static(b"{}")).await;
        let told = format!("mutualtls {mutualtls}, checkcert {checkcert}, CA {:?}: {result:?}", tls.ca);
        assert_eq!(result.is_ok(), works, "{told}");
    }
}

#[test]
fn a_missing_certificate_file_is_told_at_the_start() {
    let tls = Tls { ca: Some("/nowhere/ca.crt".into()), ..Tls::default() };
    let options = ClientOptions::falcosidekick("webhook", &tls, false, true);
    let error = options.client(&"https://127.0.0.1/".parse().unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("webhook: cannot read /nowhere/ca.crt"), "{error}");
}
