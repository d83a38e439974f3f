//! A scripted provider in the test's process, and the settings with which an agent asks it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use agent::stub_provider::{self, Received, Running, Script};
use migrations::clock::SystemClock;
use migrations::database::Role;
use migrations::settings::Reader;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Setting, World};

/// `MODEL_TIMEOUT_SECONDS` of these agents: time for a retry after a pause of two seconds.
pub const MODEL_TIMEOUT: Duration = Duration::from_secs(5);
/// `MODEL_IDLE_TIMEOUT_SECONDS`: how long a stream may be silent.
const IDLE_SECONDS: u32 = 1;

/// A provider that says what its script says.
pub struct Provider {
    running: Running,
}

impl Provider {
    /// The script that is shipped with the agent: every sentence of the stories.
    pub async fn shop() -> Provider {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/rehearsal/shop.json");
        Provider::with(Script::load(path.as_ref()).expect("the shipped script")).await
    }

    /// Scenes of one's own.
    pub async fn scenes(scenes: &Value) -> Provider {
        Provider::with(script(scenes)).await
    }

    async fn with(script: Script) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let clock = Arc::new(SystemClock);
        let running = stub_provider::serve(listener, script, [], clock).expect("an address");
        Provider { running }
    }

    /// Says something else from now on.
    pub fn set_scenes(&self, scenes: &Value) {
        self.running.stub.set_script(script(scenes));
    }

    /// An agent that asks this provider, in pieces or whole.
    #[must_use]
    pub fn setting(&self, stream: bool) -> Setting {
        Setting {
            variables: self.variables(stream),
            ..Setting::default()
        }
    }

    /// The environment of an agent that asks this provider, with deadlines a test can wait for.
    #[must_use]
    pub fn variables(&self, stream: bool) -> HashMap<&'static str, String> {
        HashMap::from([
            ("MODEL", "provider".to_owned()),
            ("OPENAI_BASE_URL", self.running.base_url()),
            ("OPENAI_API_KEY", "stub".to_owned()),
            ("OPENAI_MODEL", "gpt-4o-mini".to_owned()),
            ("MODEL_STREAM", stream.to_string()),
            ("MODEL_TIMEOUT_SECONDS", MODEL_TIMEOUT.as_secs().to_string()),
            ("MODEL_IDLE_TIMEOUT_SECONDS", IDLE_SECONDS.to_string()),
            ("MODEL_RETRIES", "2".to_owned()),
        ])
    }

    /// The demo shop with such an agent.
    pub async fn world(&self, stream: bool) -> World {
        World::open_with(self.setting(stream)).await
    }

    /// Puts another agent in the place of the shop's, which asks this provider and has not been let down by any yet.
    pub async fn drive(&self, world: &mut World, stream: bool) {
        let mut variables = world.variables(Role::Agent);
        let own = self.variables(stream);
        variables.extend(
            own.into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        let reader = Reader::new(move |name| variables.get(name).cloned());
        let config = agent::config::Config::read(&reader).expect("agent settings");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let tools = world.shop.mcp_url();
        let hooks = agent::app::Hooks::default();
        let quiet: &mut (dyn FnMut(&str) + Send) = &mut |_| {};
        let started = agent::start::start_on(listener, config, &tools, None, hooks, quiet).await;
        let before = std::mem::replace(&mut world.agent, started.expect("agent"));
        before.stop().await;
    }

    /// What it was asked, oldest first. None of it may have been refused: our requests are valid, and every sentence is in the script.
    ///
    /// # Panics
    /// When one was.
    #[must_use]
    pub fn asked(&self) -> Vec<Received> {
        let requests = self.running.stub.requests();
        for request in &requests {
            assert_eq!(request.refused, None, "{:#}", json!(request));
        }
        requests
    }

    /// The port is free again, and whoever asks finds nobody.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

fn script(scenes: &Value) -> Script {
    let text = json!({ "scenes": scenes }).to_string();
    Script::read(text.as_bytes()).unwrap_or_else(|e| panic!("{e} {text}"))
}
