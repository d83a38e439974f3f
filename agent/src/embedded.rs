//! The tool server in the same process: the only file that may name its crate. It is reached over loopback HTTP like any other.

use std::io;
use std::time::Duration;

use mcp_server::app::Hooks;
use mcp_server::config::Config;
use mcp_server::{http, start};
use migrations::settings::Reader;
use serde_json::Value;

/// Where the tools are.
pub enum ToolServer {
    /// Started in this process.
    Ours(Box<start::Started>),
    /// Another program of ours on this machine serves the same shop already.
    Theirs(String),
}

impl ToolServer {
    /// The address of its tools.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            ToolServer::Ours(started) => started.mcp_url(),
            ToolServer::Theirs(url) => url.clone(),
        }
    }

    /// Where data is: the folder of the embedded Postgres, if that is what is used.
    #[must_use]
    pub fn data_dir(&self) -> Option<std::path::PathBuf> {
        match self {
            ToolServer::Ours(started) => started.data_dir(),
            ToolServer::Theirs(_) => None,
        }
    }

    /// Stops it, if it is ours.
    pub async fn stop(self) {
        if let ToolServer::Ours(started) = self {
            started.stop().await;
        }
    }
}

/// Starts the tool server with its own settings, or finds the one that has its address.
///
/// # Errors
/// One sentence for the operator.
pub async fn tool_server(settings: &Reader, progress: &mut (dyn FnMut(&str) + Send)) -> anyhow::Result<ToolServer> {
    let config = Config::read(settings)?;
    let bind = config.bind;
    match tokio::net::TcpListener::bind(bind).await {
        Ok(listener) => {
            let started = start::start_on(listener, config, Hooks::default(), progress).await?;
            Ok(ToolServer::Ours(Box::new(started)))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_ours(&format!("http://{bind}/healthz")).await => {
            progress(&format!("Using the mcp-server that is running on {bind}."));
            Ok(ToolServer::Theirs(format!("http://{bind}/mcp")))
        }
        // Says what is wrong with the address.
        Err(_) => match http::listen(bind).await {
            Ok(_) => anyhow::bail!("{bind} was taken a moment ago. Start again."),
            Err(error) => Err(error),
        },
    }
}

/// Whether the program on that address is a tool server of ours.
async fn is_ours(health: &str) -> bool {
    crate::start::install_crypto();
    let Ok(client) = reqwest::Client::builder().timeout(Duration::from_secs(2)).no_proxy().build() else { return false };
    let Ok(response) = client.get(health).send().await else { return false };
    response.json::<Value>().await.is_ok_and(|health| health["service"] == "countersign-mcp-server")
}
