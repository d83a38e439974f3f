//! What the edges need of the settings. Stands in until the engine's own file arrives.

use std::net::SocketAddr;
use std::time::Duration;

/// The settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub bind: SocketAddr,
    /// Hosts (`name` or `name:port`) that may be addressed besides the loopback ones.
    pub allowed_hosts: Vec<String>,
    /// Largest request body, bytes.
    pub body_bytes_max: usize,
    /// Time between two heartbeats of a silent stream.
    pub heartbeat: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            bind: SocketAddr::from(([127, 0, 0, 1], 8000)),
            allowed_hosts: Vec::new(),
            body_bytes_max: 1 << 20,
            heartbeat: Duration::from_secs(15),
        }
    }
}
