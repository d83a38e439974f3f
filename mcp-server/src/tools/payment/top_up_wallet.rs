//! `top_up_wallet`: money into a customer's wallet, which pays no bill by itself.

use contracts::money::Money;
use contracts::tools::payment::{PaymentMethod, PaymentOutput, TopUpWallet, TopUpWalletInput};
use serde_json::json;

use super::collect_payment::wallet_now;
use crate::bills::owed;
use crate::customers::{self, Buyer};
use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Prepared};
use crate::ledger::Desk;
use crate::payments::way::{self, Way};
use crate::payments::{self, Direction, NewPayment};
use crate::words::arguments::{self, Thing};
use crate::words::payment::{self as words, Payer, Said};
use crate::{providers, typed};

/// A top-up that only has to be done.
pub struct Plan {
    buyer: Buyer,
    amount: Money,
    way: Way,
}

impl CommitTool for TopUpWallet {
    type Plan = Plan;

    async fn prepare(
        call: &mut Call<'_>,
        input: &TopUpWalletInput,
    ) -> Result<Prepared<Plan>, CallError> {
        let (shop, locale) = (call.shop, call.locale);
        let amount = typed::amount(input.amount, Thing::Amount, shop, "amount", locale)?;
        if amount.amount_minor == 0 {
            return Err(arguments::not_positive(locale, Thing::Amount, "amount").into());
        }
        if input.method == PaymentMethod::Wallet {
            return Err(words::top_up_from_wallet(locale).into());
        }
        let buyer = customers::buyer(call, &input.customer, "customer").await?;
        let phone = match &input.phone {
            Some(text) => Some(way::phone(call, text, "phone")?),
            None => None,
        };
        let (direction, known) = (Direction::TopUp, known(&buyer));
        let way = way::way(call, input.method, direction, phone, known, "phone").await?;
        let plan = Plan { buyer, amount, way };
        let customer = match &plan.buyer {
            Buyer::Known(customer) => json!({"id": customer.id}),
            Buyer::New { name, .. } => json!({"new": name}),
        };
        Ok(Prepared {
            message: words::ask_top_up(locale, &plan.said()),
            lines: Vec::new(),
            total: Some(amount),
            binding: json!({
                "customer": customer,
                "amount_minor": amount.amount_minor,
                "currency": amount.currency,
                "method": plan.way.method,
                "phone": plan.way.phone,
            }),
            informative: json!({}),
            plan,
        })
    }

    async fn execute(
        call: &mut Call<'_>,
        _input: TopUpWalletInput,
        plan: Plan,
    ) -> Result<Effected<PaymentOutput>, CallError> {
        let customer = match &plan.buyer {
            Buyer::Known(customer) => customer.clone(),
            Buyer::New { name, insisted } => customers::create(call, name, *insisted).await?,
        };
        let desk = Desk::of(call);
        let mut new = NewPayment::incoming(
            desk.new_id(),
            Direction::TopUp,
            plan.way.method,
            plan.way.provider,
            plan.amount.amount_minor,
        );
        new.customer_id = Some(customer.id);
        new.phone.clone_from(&plan.way.phone);
        let (payment, topic) = if new.provider.is_some() {
            let pending = payments::begin(call.conn, desk, &new).await?;
            providers::request(call, &pending).await?;
            (pending.payment, "payment.pending")
        } else {
            let written = payments::write(call.conn, desk, &[new], &[], &[]).await?;
            let payment = written.into_iter().next();
            let missing = || CallError::Broken("no payment was written".to_owned());
            (payment.ok_or_else(missing)?, "wallet.topped_up")
        };
        let at_once = payment.provider.is_none();
        let wallet = wallet_now(call, Some(&customer)).await?;
        let holds = wallet.unwrap_or(Money::minor(0, desk.currency));
        let (locale, reference) = (call.locale, payment.reference());
        let summary = if at_once {
            words::topped_up(locale, &customer.name, plan.amount, holds, &reference)
        } else {
            words::requested(locale, &plan.said(), &reference)
        };
        let open = owed::read(call.conn, desk.tenant, Some(customer.id), None).await?;
        let owed_minor = open.iter().map(|bill| bill.owed_minor).sum();
        let rest_minor = at_once.then_some(plan.amount.amount_minor);
        let output = PaymentOutput {
            summary,
            payment: payment.view(Some(&customer.name), &[], rest_minor),
            owed: Money::minor(owed_minor, desk.currency),
            wallet,
        };
        Ok(Effected {
            audit: Audit {
                subject: payment.subject(),
                before: None,
                after: Some(json!(output.payment)),
            },
            events: vec![payment.event(topic)],
            output,
        })
    }
}

fn known(buyer: &Buyer) -> Option<uuid::Uuid> {
    match buyer {
        Buyer::Known(customer) => Some(customer.id),
        Buyer::New { .. } => None,
    }
}

impl Plan {
    fn said(&self) -> Said<'_> {
        Said {
            amount: self.amount,
            payer: match &self.buyer {
                Buyer::Known(customer) => Payer::Known(&customer.name),
                Buyer::New { name, .. } => Payer::New(name),
            },
            method: self.way.method,
            phone: self.way.phone.as_deref(),
            bills: &[],
            to_wallet: None,
        }
    }
}
