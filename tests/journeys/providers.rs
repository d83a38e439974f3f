//! Language models drive the same conversations: scripted ones, and every fault a provider can have at every stage of a run.

use e2e::world::World;
use e2e::world::provider::Provider;

/// The four stories once more; the sentences on the screen are the tools' own, so they are word for word those of the rules.
mod streamed {
    use super::*;

    async fn by_provider(story: impl AsyncFnOnce(&World)) {
        told_by_provider(true, story).await;
    }

    crate::stories::told!(by_provider);
}

/// The same without streaming.
mod whole {
    use super::*;

    async fn by_provider(story: impl AsyncFnOnce(&World)) {
        told_by_provider(false, story).await;
    }

    crate::stories::told!(by_provider);
}

async fn told_by_provider(stream: bool, story: impl AsyncFnOnce(&World)) {
    let provider = Provider::shop().await;
    let world = provider.world(stream).await;
    story(&world).await;
    let asked = provider.asked();
    assert!(!asked.is_empty(), "the provider was never asked");
    assert!(asked.iter().all(|a| a.stream == stream));
    let by_rules = "select count(*) from agent.steps where kind = 'model' and name <> 'gpt-4o-mini'";
    assert_eq!(world.number(by_rules).await, 0, "the rules answered");
}
