//! Whether this server is reached where it says it is, and reaches whom it believes.

use migrations::finding::Finding;
use migrations::settings::Reader;
use serde_json::Value;

use super::settings::{host_of, is_loopback};
use crate::config::Config;
use crate::outgoing::Outgoing;

/// What our own health says of who answers.
const SERVICE: &str = "countersign-mcp-server";

/// Asks both.
pub(super) async fn examine(config: &Config, settings: &Reader) -> Vec<Finding> {
    let outgoing = Outgoing::default();
    let mut findings = Vec::new();
    if let Some(url) = &config.public_url {
        findings.push(own_door(&outgoing, url).await);
    }
    if let Some(issuer) = settings.optional("MCP_AUTH_ISSUER") {
        let jwks_url = settings.optional("MCP_AUTH_JWKS_URL");
        findings.push(authorization_server(&outgoing, &issuer, jwks_url).await);
    }
    findings
}

/// The way people and clients come: through whatever proxy stands before us.
async fn own_door(outgoing: &Outgoing, url: &str) -> Finding {
    let what = "door";
    let health = format!("{}/healthz", url.trim_end_matches('/'));
    match json(outgoing, &health).await {
        Ok(answer) if answer["service"] == SERVICE => {
            Finding::fine(what, format!("{url} leads here"))
        }
        Ok(_) => Finding::fail(
            what,
            format!(
                "{url} leads to another program. Point the proxy at MCP_BIND, or correct MCP_PUBLIC_URL"
            ),
        ),
        Err(why) => Finding::fail(
            what,
            format!(
                "{health} does not answer ({why}). Start the server, or look at DNS, certificate and proxy"
            ),
        ),
    }
}

/// Whom the tokens of people come from.
async fn authorization_server(
    outgoing: &Outgoing,
    issuer: &str,
    jwks_url: Option<String>,
) -> Finding {
    let what = "authorization server";
    let issuer = issuer.trim_end_matches('/');
    if !issuer.starts_with("https://") && !host_of(issuer).is_some_and(is_loopback) {
        return Finding::fail(
            what,
            format!("{issuer} is not encrypted, so its keys could be anybody's. Use https://"),
        );
    }
    let jwks_url = match jwks_url {
        Some(url) => url,
        None => match discovered(outgoing, issuer).await {
            Ok(url) => url,
            Err(why) => {
                return Finding::fail(
                    what,
                    format!(
                        "{issuer} does not say where its keys are ({why}). Correct MCP_AUTH_ISSUER, or set MCP_AUTH_JWKS_URL"
                    ),
                );
            }
        },
    };
    match json(outgoing, &jwks_url).await {
        Ok(keys) => match keys["keys"].as_array().map(Vec::len) {
            Some(count) if count > 0 => Finding::fine(what, format!("{issuer} has {count} keys")),
            _ => Finding::fail(
                what,
                format!(
                    "{jwks_url} holds no keys, so no token can be believed. Correct MCP_AUTH_JWKS_URL"
                ),
            ),
        },
        Err(why) => Finding::fail(
            what,
            format!(
                "{jwks_url} does not answer ({why}), so no token of a person is accepted once the keys known now are old. Let this machine reach it"
            ),
        ),
    }
}

/// Where the issuer's own metadata says its keys are: that of OAuth, then that of its older sibling.
async fn discovered(outgoing: &Outgoing, issuer: &str) -> Result<String, String> {
    let mut why = String::new();
    for name in ["oauth-authorization-server", "openid-configuration"] {
        match json(outgoing, &format!("{issuer}/.well-known/{name}")).await {
            Ok(metadata) => {
                if metadata["issuer"].as_str().map(|i| i.trim_end_matches('/')) != Some(issuer) {
                    why = "its metadata is another issuer's".to_owned();
                } else if let Some(url) = metadata["jwks_uri"].as_str() {
                    return Ok(url.to_owned());
                }
            }
            Err(error) => why = error,
        }
    }
    Err(why)
}

async fn json(outgoing: &Outgoing, url: &str) -> Result<Value, String> {
    let client = outgoing.client().map_err(|e| e.to_string())?;
    let answered = outgoing
        .send(client.get(url))
        .await
        .map_err(|e| e.to_string())?;
    if answered.status != 200 {
        return Err(format!("status {}", answered.status));
    }
    serde_json::from_slice(&answered.body).map_err(|_| "not JSON".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use migrations::finding::Verdict;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers with what stands for a path, in which `@` is its own address.
    async fn server(pages: &[(&'static str, &'static str)]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let pages: BTreeMap<_, _> = pages
            .iter()
            .map(|(path, body)| (*path, body.replace('@', &own)))
            .collect();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 4096];
                let n = stream.read(&mut asked).await.unwrap();
                let asked = String::from_utf8_lossy(&asked[..n]).into_owned();
                let path = asked.split(' ').nth(1).unwrap_or_default();
                let answer = match pages.get(path) {
                    Some(body) => format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    ),
                    None => {
                        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                            .to_owned()
                    }
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        own
    }

    #[tokio::test]
    async fn a_door_that_leads_elsewhere_or_nowhere_is_found() {
        let outgoing = Outgoing::default();
        let ours = server(&[("/healthz", r#"{"service": "countersign-mcp-server"}"#)]).await;
        let theirs = server(&[("/healthz", r#"{"status": "ok"}"#)]).await;
        assert_eq!(
            own_door(&outgoing, &format!("{ours}/")).await.verdict,
            Verdict::Fine
        );
        let other = own_door(&outgoing, &theirs).await;
        assert!(other.found.contains("another program"), "{other}");
        let nowhere = own_door(&outgoing, "http://127.0.0.1:1").await;
        assert!(nowhere.found.contains("no connection"), "{nowhere}");
    }

    #[tokio::test]
    async fn an_authorization_server_must_say_who_it_is_and_have_keys() {
        let outgoing = Outgoing::default();
        let look = async |pages: &[(&'static str, &'static str)]| {
            authorization_server(&outgoing, &server(pages).await, None).await
        };
        let metadata = (
            "/.well-known/openid-configuration",
            r#"{"issuer": "@/", "jwks_uri": "@/keys"}"#,
        );
        let good = look(&[metadata, ("/keys", r#"{"keys": [{"kid": "1"}]}"#)]).await;
        assert_eq!(good.verdict, Verdict::Fine, "{good}");
        let empty = look(&[metadata, ("/keys", r#"{"keys": []}"#)]).await;
        assert!(empty.found.contains("holds no keys"), "{empty}");
        let gone = look(&[metadata]).await;
        assert!(gone.found.contains("status 404"), "{gone}");
        let impostor = look(&[(
            "/.well-known/oauth-authorization-server",
            r#"{"issuer": "https://other.example", "jwks_uri": "@/keys"}"#,
        )])
        .await;
        assert!(
            impostor.found.contains("does not say where its keys are"),
            "{impostor}"
        );
        let plain = authorization_server(&outgoing, "http://login.example", None).await;
        assert!(plain.found.contains("not encrypted"), "{plain}");
    }
}
