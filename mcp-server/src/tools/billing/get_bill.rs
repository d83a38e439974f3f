//! `billing_get_bill`: one bill with its lines, and where it stands.

use contracts::tools::billing::{BillOutput, GetBill, GetBillInput};

use crate::bills;
use crate::error::CallError;
use crate::handler::{Call, ReadTool};
use crate::words::billing;

impl ReadTool for GetBill {
    async fn read(call: &mut Call<'_>, input: GetBillInput) -> Result<BillOutput, CallError> {
        let bill = bills::find(call, &input.bill).await?;
        let summary = billing::shown(
            call.locale,
            &bill.number,
            bill.customer.as_deref(),
            bill.status,
            bill.total,
            bill.owed(),
        );
        Ok(bill.output(summary, call.locale))
    }
}

#[cfg(test)]
mod tests {
    use contracts::tools::billing::CreateBill;
    use contracts::tools::inventory::{AddItem, UpdateItem};
    use serde_json::json;

    use super::*;
    use crate::testing::{World, refusal};

    #[tokio::test]
    async fn a_customer_sees_her_own_bills_and_the_last_is_her_last() {
        let mut world = World::new().await;
        let soap = json!({"name": "Soap", "unit_price": "100", "quantity": "60"});
        world.write::<AddItem>(soap).await.unwrap();
        let mut issued = Vec::new();
        for customer in [Some("Ali"), Some("Zoe"), None] {
            let mut bill = json!({"lines": [{"item": "soap", "quantity": "1"}]});
            if let Some(name) = customer {
                bill["customer"] = json!(name);
            }
            issued.push(
                world
                    .agree::<CreateBill>(bill)
                    .await
                    .unwrap()
                    .bill_id
                    .to_string(),
            );
        }
        world.become_customer("Ali").await;
        let show = async |name: &str| world.read::<GetBill>(json!({"bill": name})).await;
        assert_eq!(show("last").await.unwrap().number, "INV-1");
        assert_eq!(show(&issued[0]).await.unwrap().number, "INV-1");
        let nowhere = refusal(show("99").await);
        for (name, shown) in [("2", "2"), ("3", "3"), (&*issued[1], &*issued[1])] {
            let failure = refusal(show(name).await);
            assert_eq!(failure.code, nowhere.code, "{name}");
            assert_eq!(failure.message, nowhere.message.replace("99", shown));
            assert_eq!(failure.hint, nowhere.hint);
        }
    }

    #[tokio::test]
    async fn a_bill_shows_what_was_printed_whatever_becomes_of_the_item() {
        let world = World::new().await;
        let eggs = json!({"name": "Egg", "unit_price": "100", "quantity": "60"});
        world.write::<AddItem>(eggs).await.unwrap();
        let bill = json!({"customer": "Ali", "lines": [{"item": "eggs", "quantity": "2", "unit": "dozen"}], "discount": "400",
                          "payment": {"method": "cash", "amount": "500"}});
        let issued = world.agree::<CreateBill>(bill).await.unwrap();
        let change =
            json!({"item": "egg", "change": {"name": "Free range egg", "unit_price": "150"}});
        world.write::<UpdateItem>(change).await.unwrap();
        for name in ["1", "INV-1", "last", &issued.bill_id.to_string()] {
            let read = world.read::<GetBill>(json!({"bill": name})).await.unwrap();
            assert_eq!(
                read.summary,
                "Bill INV-1 for Ali is open: total RWF 2,000, RWF 1,500 owed."
            );
            assert_eq!(read.bill, issued.bill);
        }
        let line = &issued.bill.lines[0];
        assert_eq!(line.text, "2 dozen Egg @ 100 each = 2,400");
        assert_eq!(line.priced_quantity.text, "24");
        assert_eq!(line.unit_price, "RWF 100 each");
    }
}
