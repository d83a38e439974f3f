//! The HTTP clients for everything that others are asked or told: built when they are first needed, with deadlines, without redirects.
//!
//! Addresses that owners of businesses name (webhooks) are reached through a client of their own that goes to the public internet only:
//! otherwise an owner could have this machine post into the network it stands in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one request may take with its answer.
pub(crate) const REQUEST: Duration = Duration::from_secs(10);
/// Largest answer that is read, bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The clients. Cheap until they are used: certificates are read then.
#[derive(Debug, Default)]
pub struct Outgoing {
    anywhere: OnceLock<reqwest::Client>,
    public: OnceLock<reqwest::Client>,
}

/// An answer that was read whole.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The HTTP status.
    pub(crate) status: u16,
    /// At most [`ANSWER_BYTES_MAX`]; the rest is not read.
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// Nothing was sent: no connection, or no client.
    #[error("not reached: {0}")]
    NotSent(String),
    /// It may have been received.
    #[error("no answer: {0}")]
    Unknown(String),
}

impl Outgoing {
    /// The client for whom the operator named.
    pub(crate) fn client(&self) -> Result<&reqwest::Client, NoAnswer> {
        made(&self.anywhere, builder())
    }

    /// The client for whom others named: names that lead into a private network lead nowhere. An address written in numbers is looked up
    /// by nobody and is for its user to check ([`is_public`]).
    pub(crate) fn client_to_the_public(&self) -> Result<&reqwest::Client, NoAnswer> {
        made(&self.public, builder().dns_resolver(PublicOnly))
    }

    /// Sends a request of this client's and reads the answer, whatever its status.
    pub(crate) async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Answered, NoAnswer> {
        let mut response = request.send().await.map_err(|e| {
            if e.is_connect() || e.is_builder() {
                NoAnswer::NotSent(chain(&e))
            } else {
                NoAnswer::Unknown(chain(&e))
            }
        })?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|e| NoAnswer::Unknown(chain(&e)))?
        {
            let room = ANSWER_BYTES_MAX - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                break;
            }
        }
        Ok(Answered { status, body })
    }
}

fn builder() -> reqwest::ClientBuilder {
    install_crypto();
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
}

fn made(
    place: &OnceLock<reqwest::Client>,
    builder: reqwest::ClientBuilder,
) -> Result<&reqwest::Client, NoAnswer> {
    if let Some(client) = place.get() {
        return Ok(client);
    }
    let client = builder.build().map_err(|e| NoAnswer::NotSent(chain(&e)))?;
    Ok(place.get_or_init(|| client))
}

/// Looks names up and forgets the answers that are not public, at every connection: a name may lead elsewhere tomorrow.
#[derive(Debug, Clone, Copy)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is set by the client.
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public = public_of(found)?;
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// The public ones of some addresses.
fn public_of(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, &'static str> {
    let public: Vec<SocketAddr> = found.into_iter().filter(|at| is_public(at.ip())).collect();
    if public.is_empty() {
        return Err("the name leads to no public address");
    }
    Ok(public)
}

/// Whether an address of somebody else's leads out into the internet, as far as can be told now.
///
/// # Errors
/// A sentence for the person.
pub(crate) async fn reaches_the_public(url: &str) -> Result<(), String> {
    let Ok(url) = reqwest::Url::parse(url.trim()) else {
        // What is wrong with it is said by whoever reads it whole.
        return Ok(());
    };
    let (Some(host), port) = (url.host_str(), url.port_or_known_default().unwrap_or(443)) else {
        return Ok(());
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::time::timeout(CONNECT, tokio::net::lookup_host((host, port))).await;
    let Ok(Ok(found)) = found else {
        return Err(format!(
            "`{host}` cannot be found. Check its spelling, and that its name is public."
        ));
    };
    if found.into_iter().all(|at| is_public(at.ip())) {
        return Ok(());
    }
    Err(format!(
        "`{host}` is inside a private network. Give an address that can be reached from the internet."
    ))
}

/// Whether an address is one of the public internet: neither of this machine, nor of a network of somebody's own, nor for special use.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        // Of providers between their customers (RFC 6598), of protocols (RFC 6890), of benchmarks (RFC 2544), reserved.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // An old address in new clothes: mapped, compatible, translated, tunnelled.
        (0, 0) => matches!((c, d, e), (0, 0, 0)) && f == 0xffff && v4(g, h),
        (0x64, 0xff9b) => (c, d, e, f) == (0, 0, 0, 0) && v4(g, h),
        (0x2002, _) => v4(b, c),
        (0x2001, 0 | 0xdb8) => false,
        // The rest of what is given out to anybody.
        _ => (0x2000..0x4000).contains(&a),
    }
}

/// An error with its causes, without the address, which may hold a secret.
fn chain(error: &reqwest::Error) -> String {
    let mut told = if error.is_timeout() {
        "timeout".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        "broken off".to_owned()
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    told
}

/// TLS needs one crypto library for the whole process; whoever comes first names it.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_anybody_can_reach_is_public() {
        for ip in [
            "93.184.216.34",
            "8.8.8.8",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:a00:1::1",
            "2001:db8::1",
            "2001::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_leads_nowhere() {
        let outgoing = Outgoing::default();
        let client = outgoing.client_to_the_public().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = outgoing
            .send(client.get(format!("http://localhost:{port}/")))
            .await;
        assert!(matches!(sent, Err(NoAnswer::NotSent(_))), "{sent:?}");
        let why = reaches_the_public(&format!("https://localhost:{port}/")).await;
        assert!(why.unwrap_err().contains("private network"));
    }
}
