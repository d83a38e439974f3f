//! Settings that can each be read and do not go together, or are dangerous where they are.

use std::collections::BTreeSet;
use std::net::IpAddr;

use migrations::finding::Finding;
use migrations::settings::Reader;

use crate::config::Config;

/// Fewest different characters in a secret somebody thought up. 32 hexadecimal digits at random have fewer than this once in thousands.
const DIFFERENT_MIN: usize = 9;
/// Words of secrets that were never replaced.
const PLACEHOLDERS: [&str; 6] = [
    "change",
    "secret",
    "password",
    "example",
    "0123456789",
    "countersign",
];

/// Every secret that is a text of the operator's own, and what it protects.
const SECRETS: [(&str, &str); 4] = [
    ("AGENT_TOKEN_KEY", "whoever guesses it speaks for anybody"),
    (
        "AGENT_TOKEN_KEY_PREVIOUS",
        "whoever guesses it speaks for anybody",
    ),
    (
        "CONFIRMATION_KEY",
        "whoever guesses it can answer questions that others were asked",
    ),
    (
        "MCP_OPERATOR_KEY",
        "whoever guesses it makes and suspends businesses",
    ),
];

/// Looks at the settings alone.
pub(super) fn examine(config: &Config, settings: &Reader, replicas: u32) -> Vec<Finding> {
    let mut findings = vec![who_may_call(config), public_url(config)];
    findings.extend(keys(config, replicas));
    findings.extend(secrets(settings));
    findings.push(metrics(config));
    findings.extend(providers(config, settings));
    findings
}

/// The host of an address, without port and brackets.
pub(super) fn host_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether this is meant to be reached from elsewhere.
fn is_public(config: &Config) -> bool {
    let elsewhere = config
        .public_url
        .as_deref()
        .and_then(host_of)
        .is_some_and(|h| !is_loopback(h));
    elsewhere || !config.bind.ip().is_loopback() || !config.allowed_hosts.is_empty()
}

fn who_may_call(config: &Config) -> Finding {
    let what = "callers";
    if !config.local_mode {
        return Finding::fine(what, "each must say who it is");
    }
    if is_public(config) {
        return Finding::fail(
            what,
            "MCP_LOCAL_MODE is on, so whoever reaches this server is the owner of the shop, and MCP_PUBLIC_URL or MCP_ALLOWED_HOSTS let it be reached from elsewhere. Set MCP_LOCAL_MODE=off",
        );
    }
    Finding::fine(what, "local mode: whoever is on this machine is the owner")
}

fn public_url(config: &Config) -> Finding {
    let what = "public address";
    let Some(url) = &config.public_url else {
        return if is_public(config) {
            Finding::fail(
                what,
                "MCP_PUBLIC_URL is not set, so people are sent to an address that works on this machine only. Set it to the address your proxy serves, such as https://shop.example",
            )
        } else {
            Finding::fine(what, "this machine's")
        };
    };
    let Some(host) = host_of(url) else {
        return Finding::fail(
            what,
            "MCP_PUBLIC_URL is not an address. Write it like https://shop.example",
        );
    };
    if is_loopback(host) {
        return Finding::fine(what, url.clone());
    }
    if !url.starts_with("https://") {
        return Finding::fail(
            what,
            format!(
                "{url} is not encrypted, and sessions and tokens travel over it. Serve it with TLS and set MCP_PUBLIC_URL to https://{host}"
            ),
        );
    }
    Finding::fine(what, url.clone())
}

/// Keys that are kept in the home are this machine's alone.
fn keys(config: &Config, replicas: u32) -> Vec<Finding> {
    let what = "keys";
    let kept: Vec<&str> = [
        ("AGENT_TOKEN_KEY", config.agent_token_key.is_none()),
        ("CONFIRMATION_KEY", config.confirmation_key.is_none()),
    ]
    .into_iter()
    .filter_map(|(name, kept)| kept.then_some(name))
    .collect();
    let mut findings = Vec::new();
    let names = kept.join(" and ");
    if kept.is_empty() {
        findings.push(Finding::fine(what, "given as settings"));
    } else if replicas > 1 {
        findings.push(Finding::fail(
            what,
            format!("{names} are not set, so each replica makes its own and refuses what another has signed. Give all of them the same, from your secret store (`openssl rand -base64 48` makes one)"),
        ));
    } else if config.database.database_url.is_some() {
        findings.push(Finding::warn(
            what,
            format!("{names} are kept in {}: a backup of the database alone does not hold them, and a second replica needs them as settings", config.home.join("keys").display()),
        ));
    } else {
        findings.push(Finding::fine(what, "kept in the home, beside the data"));
    }
    if config.agent_token_key.is_some() && config.agent_token_key == config.confirmation_key {
        findings.push(Finding::fail(
            what,
            "AGENT_TOKEN_KEY and CONFIRMATION_KEY are the same, so that whoever has one has both. Make two",
        ));
    }
    findings
}

/// Secrets that were thought up rather than made, or never replaced. Says which, never what.
fn secrets(settings: &Reader) -> Vec<Finding> {
    let weak = |(name, harm): &(&str, &str)| {
        let text = settings.optional(name)?;
        let lower = text.to_lowercase();
        let different: BTreeSet<char> = text.chars().collect();
        let replaced = !PLACEHOLDERS.iter().any(|word| lower.contains(word));
        let strong = text.len() >= 32 && different.len() >= DIFFERENT_MIN && replaced;
        (!strong).then(|| {
            Finding::fail(
                "secrets",
                format!("{name} can be guessed, and {harm}. Make another: openssl rand -base64 48"),
            )
        })
    };
    SECRETS.iter().filter_map(weak).collect()
}

fn metrics(config: &Config) -> Finding {
    let what = "metrics";
    match config.metrics_bind {
        Some(bind) if !bind.ip().is_loopback() => Finding::warn(
            what,
            format!(
                "whoever reaches {bind} reads them. They name no business, but let only your monitoring through"
            ),
        ),
        Some(bind) => Finding::fine(what, format!("on {bind}")),
        None => Finding::fine(
            what,
            format!("on {}/metrics for callers on this machine", config.bind),
        ),
    }
}

fn providers(config: &Config, settings: &Reader) -> Vec<Finding> {
    let what = "payments";
    let unencrypted = |name: &str| {
        let url = settings.optional(name)?;
        let host = host_of(&url).unwrap_or_default();
        (!url.starts_with("https://") && !is_loopback(host)).then(|| {
            Finding::fail(
                what,
                format!("{name} is not encrypted, and keys travel over it. Use https://"),
            )
        })
    };
    let mut findings = Vec::new();
    if config.providers.momo.is_some() {
        findings.extend(unencrypted("MOMO_BASE_URL"));
        findings.extend(unencrypted("MOMO_CALLBACK_URL"));
        let environment = settings.optional("MOMO_TARGET_ENVIRONMENT");
        if !config.local_mode && environment.as_deref().unwrap_or("sandbox") == "sandbox" {
            findings.push(Finding::warn(what, "MoMo is MTN's sandbox: no money moves. Set MOMO_BASE_URL and MOMO_TARGET_ENVIRONMENT to what MTN has named"));
        }
        if settings.optional("MOMO_CALLBACK_URL").is_none() {
            findings.push(Finding::warn(what, "MoMo cannot tell of payments, so they are asked about every few seconds. Set MOMO_CALLBACK_URL"));
        }
    }
    if config.providers.stripe.is_some() {
        findings.extend(unencrypted("STRIPE_BASE_URL"));
        if settings.optional("STRIPE_WEBHOOK_SECRET").is_none() {
            findings.push(Finding::warn(what, "Stripe cannot tell of payments, so they are asked about every few seconds. Set STRIPE_WEBHOOK_SECRET"));
        }
        let test_key = settings
            .optional("STRIPE_SECRET_KEY")
            .is_some_and(|k| k.contains("_test_"));
        if test_key && !config.local_mode {
            findings.push(Finding::warn(
                what,
                "Stripe has a test key: no money moves. Set STRIPE_SECRET_KEY to the live one",
            ));
        }
    }
    if findings.is_empty() {
        let names = [
            ("MoMo", config.providers.momo.is_some()),
            ("Stripe", config.providers.stripe.is_some()),
        ];
        let set_up: Vec<&str> = names
            .iter()
            .filter_map(|(n, is)| is.then_some(*n))
            .collect();
        let found = if set_up.is_empty() {
            "cash and wallets; no provider is set up".to_owned()
        } else {
            set_up.join(", ")
        };
        findings.push(Finding::fine(what, found));
    }
    findings
}

#[cfg(test)]
mod tests {
    use migrations::finding::Verdict;

    use super::*;

    const KEY: &str = "q8Zr1XnT5vLw0KdYc3HsJb7EgMf2UaPo";
    const OTHER_KEY: &str = "mB4tQ9xLz6WcV1nRk8SdHf3JyGp7EaUo";

    fn wrong(pairs: &[(&'static str, &'static str)], replicas: u32) -> Vec<String> {
        let pairs = pairs.to_vec();
        let settings = Reader::new(move |name| {
            let given = pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned());
            given.or_else(|| (name == "COUNTERSIGN_HOME").then(|| "/srv/shop".to_owned()))
        });
        let config = Config::read(&settings).unwrap();
        let findings = examine(&config, &settings, replicas);
        let bad = findings.iter().filter(|f| f.verdict != Verdict::Fine);
        bad.map(ToString::to_string).collect()
    }

    /// A deployment as it should be.
    const GOOD: [(&str, &str); 6] = [
        ("MCP_LOCAL_MODE", "off"),
        ("MCP_PUBLIC_URL", "https://shop.example/"),
        ("MCP_ALLOWED_HOSTS", "mcp-server-1:8001"),
        ("AGENT_TOKEN_KEY", KEY),
        ("CONFIRMATION_KEY", OTHER_KEY),
        ("DATABASE_URL", "postgres://shop@db/countersign"),
    ];

    #[test]
    fn good_settings_are_left_alone() {
        assert_eq!(wrong(&[], 1), [""; 0], "nothing set at all");
        assert_eq!(wrong(&GOOD, 3), [""; 0]);
    }

    #[test]
    fn what_does_not_go_together_is_told_with_the_remedy() {
        for (change, remedy) in [
            (
                ("MCP_LOCAL_MODE", "on"),
                "FAIL  callers: MCP_LOCAL_MODE is on",
            ),
            (
                ("MCP_PUBLIC_URL", "http://shop.example"),
                "https://shop.example",
            ),
            (("MCP_PUBLIC_URL", ""), "MCP_PUBLIC_URL is not set"),
            (("MCP_PUBLIC_URL", "shop.example"), "Write it like"),
            (("AGENT_TOKEN_KEY", ""), "AGENT_TOKEN_KEY are not set"),
            (("AGENT_TOKEN_KEY", OTHER_KEY), "Make two"),
            (
                ("AGENT_TOKEN_KEY", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
                "AGENT_TOKEN_KEY can be guessed",
            ),
            (
                ("CONFIRMATION_KEY", "change-me-please-q8Zr1XnT5vLw0KdYc3"),
                "CONFIRMATION_KEY can be guessed",
            ),
            (
                ("MCP_OPERATOR_KEY", "operatoroperatoroperatoroperator"),
                "MCP_OPERATOR_KEY can be guessed",
            ),
            (("METRICS_BIND", "0.0.0.0:9001"), "warn  metrics"),
        ] {
            let mut pairs = GOOD.to_vec();
            pairs.retain(|(name, _)| *name != change.0);
            pairs.push(change);
            let found = wrong(&pairs, 2);
            assert_eq!(found.len(), 1, "{change:?}: {found:?}");
            assert!(found[0].contains(remedy), "{change:?}: {found:?}");
            assert!(
                !found[0].contains(KEY) && !found[0].contains("q8Zr1"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn providers_that_move_no_money_are_told_of() {
        let mut pairs = GOOD.to_vec();
        pairs.extend([
            ("STRIPE_SECRET_KEY", "sk_test_1"),
            ("STRIPE_BASE_URL", "http://stripe.example"),
            ("MOMO_SUBSCRIPTION_KEY", "k"),
            ("MOMO_API_USER", "5e2ad7a4-7f2e-4a3d-9f3a-6c2d8c5b0e11"),
            ("MOMO_API_KEY", "k"),
        ]);
        let found = wrong(&pairs, 1).join("\n");
        for told in [
            "sandbox",
            "MOMO_CALLBACK_URL",
            "STRIPE_WEBHOOK_SECRET",
            "test key",
            "STRIPE_BASE_URL is not encrypted",
        ] {
            assert!(found.contains(told), "{told}: {found}");
        }
    }

    #[test]
    fn a_host_is_read_out_of_an_address() {
        for (url, host) in [
            ("https://shop.example", Some("shop.example")),
            ("https://shop.example:8443/x?y", Some("shop.example")),
            ("http://[::1]:8001/", Some("::1")),
            ("http://user:pass@localhost:1", Some("localhost")),
            ("shop.example", None),
            ("https://", None),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
        assert!(is_loopback("::1") && is_loopback("127.0.0.9") && !is_loopback("10.0.0.1"));
    }
}
