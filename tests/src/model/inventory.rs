//! Items and stock, with pen and paper.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{Expected, OpId, Shop, Terms, plain};

/// How many movements an item is shown with.
const MOVEMENTS_SHOWN: usize = 20;

/// What the shop does with its items.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// `inventory_add_item`.
    Add {
        /// The name, with a capital.
        name: String,
        /// kg, g or each.
        unit: &'static str,
        /// Major units per unit.
        price: Decimal,
        /// What is on the shelf.
        quantity: Decimal,
    },
    /// `inventory_update_item` by a difference.
    Adjust {
        /// The item.
        item: String,
        /// The difference.
        delta: Decimal,
        /// Its unit, where it is another than the item's.
        unit: Option<&'static str>,
    },
    /// `inventory_update_item` by a count.
    Count {
        /// The item.
        item: String,
        /// What is on the shelf.
        quantity: Decimal,
        /// The version it was counted at.
        expected_version: i64,
    },
    /// `inventory_update_item` with a new price.
    Price {
        /// The item.
        item: String,
        /// Major units per unit.
        price: Decimal,
    },
    /// `inventory_delete_item`.
    Remove {
        /// The item.
        item: String,
    },
    /// `inventory_get_item`.
    Get {
        /// The item.
        item: String,
    },
    /// `inventory_list_items`, all of them.
    List,
}

/// An item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// What it is counted in.
    pub unit: &'static str,
    /// Every price it had, in minor units per unit, fractions kept, and the operation that set it; the last one holds.
    pub prices: Vec<(Decimal, OpId)>,
    /// What is on hand.
    pub on_hand: Decimal,
    /// Every change of stock: difference, balance after it, reason.
    pub movements: Vec<(Decimal, Decimal, &'static str)>,
    /// Changes of its fields, its beginning included.
    pub fields_version: i64,
    /// No longer on sale.
    pub archived: bool,
}

impl Call {
    pub(super) fn tool(&self) -> &'static str {
        match self {
            Call::Add { .. } => "inventory_add_item",
            Call::Adjust { .. } | Call::Count { .. } | Call::Price { .. } => {
                "inventory_update_item"
            }
            Call::Remove { .. } => "inventory_delete_item",
            Call::Get { .. } => "inventory_get_item",
            Call::List => "inventory_list_items",
        }
    }

    pub(super) fn arguments(&self) -> Value {
        match self {
            Call::Add {
                name,
                unit,
                price,
                quantity,
            } => {
                json!({"name": name, "unit": unit, "unit_price": plain(*price), "quantity": plain(*quantity)})
            }
            Call::Adjust { item, delta, unit } => {
                json!({"item": item, "adjust": {"delta": plain(*delta), "unit": unit}})
            }
            Call::Count {
                item,
                quantity,
                expected_version,
            } => {
                json!({"item": item, "count": {"quantity": plain(*quantity), "expected_version": expected_version}})
            }
            Call::Price { item, price } => {
                json!({"item": item, "change": {"unit_price": plain(*price)}})
            }
            Call::Remove { item } | Call::Get { item } => json!({"item": item}),
            Call::List => json!({"limit": 100}),
        }
    }

    pub(super) fn is_read(&self) -> bool {
        matches!(self, Call::Get { .. } | Call::List)
    }

    pub(super) fn is_commit(&self) -> bool {
        matches!(self, Call::Remove { .. })
    }
}

impl Item {
    /// What clients count at.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.fields_version + i64::try_from(self.movements.len()).unwrap_or(i64::MAX)
    }

    /// What it costs, in minor units per unit.
    #[must_use]
    pub fn price_minor(&self) -> Decimal {
        self.prices
            .last()
            .map(|(price, _)| *price)
            .unwrap_or_default()
    }

    /// How many of its prices may have been looked at by somebody who overlaps with those who set the ones after.
    fn prices_seen(&self, overlaps: &dyn Fn(OpId) -> bool) -> usize {
        let newest_first = self.prices.iter().rev();
        let changed = newest_first.take_while(|(_, by)| overlaps(*by)).count();
        (changed + 1).min(self.prices.len())
    }

    fn view(&self, shop: &Shop) -> Value {
        let price = contracts::money::from_minor(self.price_minor(), shop.settings.currency);
        json!({
            "name": self.name, "unit": self.unit, "unit_price": {"amount": plain(price)},
            "stock": {"quantity": plain(self.on_hand), "unit": self.unit}, "version": self.version(), "low": false,
        })
    }

    pub(super) fn moves(&mut self, delta: Decimal, reason: &'static str) {
        self.on_hand += delta;
        self.movements.push((delta, self.on_hand, reason));
    }

    /// A quantity in the item's unit. `None` for a unit of another kind, or what breaks a piece.
    pub(super) fn read(&self, quantity: Decimal, unit: Option<&str>) -> Result<Decimal, Expected> {
        let thousand = Decimal::from(1000);
        let read = match (unit.unwrap_or(self.unit), self.unit) {
            (from, to) if from == to => quantity,
            ("g", "kg") => quantity / thousand,
            ("kg", "g") => quantity * thousand,
            _ => return Err(Expected::refused("unknown_unit")),
        };
        if self.unit == "each" && !read.fract().is_zero() {
            return Err(Expected::refused("invalid_arguments"));
        }
        Ok(read)
    }

    /// What is left, said in the unit that was asked for.
    fn left_in(&self, unit: Option<&str>) -> Decimal {
        let left = self.on_hand.max(Decimal::ZERO);
        match (unit.unwrap_or(self.unit), self.unit) {
            ("g", "kg") => left * Decimal::from(1000),
            ("kg", "g") => left / Decimal::from(1000),
            _ => left,
        }
    }

    pub(super) fn short(&self, unit: Option<&str>) -> Expected {
        let left = json!({"quantity": plain(self.left_in(unit))});
        Expected::Refused(
            "insufficient_stock",
            json!({"candidates": [{"name": self.name, "stock": left}]}),
        )
    }
}

impl Shop {
    /// The item on sale of this name, by its place.
    pub(super) fn item(&self, name: &str) -> Result<usize, Expected> {
        self.items
            .iter()
            .position(|item| !item.archived && item.name == name)
            .ok_or_else(|| Expected::refused("unknown_item"))
    }

    /// The shop as somebody may have seen it just before prices changed, in every combination; not as it is now.
    pub(super) fn earlier(&self, overlaps: &dyn Fn(OpId) -> bool) -> Vec<Shop> {
        let mut views = vec![self.clone()];
        for (place, item) in self.items.iter().enumerate() {
            let seen = item.prices_seen(overlaps);
            if item.archived || seen < 2 {
                continue;
            }
            let before: Vec<Shop> = views
                .iter()
                .flat_map(|view| {
                    (1..seen).map(|newer| {
                        let mut view = view.clone();
                        let kept = item.prices.len() - newer;
                        view.items[place].prices.truncate(kept);
                        view
                    })
                })
                .collect();
            views.extend(before);
        }
        views.split_off(1)
    }

    pub(super) fn inventory(&mut self, call: &Call, id: OpId) -> Expected {
        let done = match call {
            Call::Add {
                name,
                unit,
                price,
                quantity,
            } => self.add(name, unit, *price, *quantity, id),
            Call::Adjust { item, delta, unit } => self.adjust(item, *delta, *unit),
            Call::Count {
                item,
                quantity,
                expected_version,
            } => self.count(item, *quantity, *expected_version),
            Call::Price { item, price } => self.price(item, *price, id),
            Call::Get { item } => self.get(item),
            Call::List => Ok(self.list()),
            Call::Remove { .. } => Err(Expected::Nothing),
        };
        match done {
            Ok(value) => Expected::Done(value),
            Err(refused) => refused,
        }
    }

    fn minor(&self, price: Decimal) -> Decimal {
        contracts::money::to_minor(price, self.settings.currency)
            .unwrap_or_default()
            .normalize()
    }

    fn add(
        &mut self,
        name: &str,
        unit: &'static str,
        price: Decimal,
        quantity: Decimal,
        id: OpId,
    ) -> Result<Value, Expected> {
        if self.item(name).is_ok() {
            return Err(Expected::refused("already_exists"));
        }
        let mut item = Item {
            name: name.to_owned(),
            unit,
            prices: vec![(self.minor(price), id)],
            on_hand: Decimal::ZERO,
            movements: Vec::new(),
            fields_version: 1,
            archived: false,
        };
        if !quantity.is_zero() {
            item.moves(quantity, "opening");
        }
        let view = item.view(self);
        self.items.push(item);
        Ok(json!({"item": view}))
    }

    fn adjust(
        &mut self,
        item: &str,
        delta: Decimal,
        unit: Option<&'static str>,
    ) -> Result<Value, Expected> {
        let place = self.item(item)?;
        if delta.is_zero() {
            return Err(Expected::refused("invalid_arguments"));
        }
        let (item, allow_negative) = (&mut self.items[place], self.settings.allow_negative);
        let delta = item.read(delta, unit)?;
        if delta.is_sign_negative() && !allow_negative && item.on_hand + delta < Decimal::ZERO {
            return Err(item.short(unit));
        }
        let reason = if delta.is_sign_negative() {
            "waste"
        } else {
            "purchase"
        };
        item.moves(delta, reason);
        Ok(json!({"item": self.items[place].view(self)}))
    }

    fn count(
        &mut self,
        item: &str,
        quantity: Decimal,
        expected_version: i64,
    ) -> Result<Value, Expected> {
        let place = self.item(item)?;
        let item = &mut self.items[place];
        if item.version() != expected_version {
            return Err(Expected::refused("version_conflict"));
        }
        let delta = quantity - item.on_hand;
        if !delta.is_zero() {
            item.moves(delta, "count");
        }
        Ok(json!({"item": self.items[place].view(self)}))
    }

    fn price(&mut self, item: &str, price: Decimal, id: OpId) -> Result<Value, Expected> {
        let place = self.item(item)?;
        let price_minor = self.minor(price);
        let item = &mut self.items[place];
        item.prices.push((price_minor, id));
        item.fields_version += 1;
        Ok(json!({"item": self.items[place].view(self)}))
    }

    fn get(&self, item: &str) -> Result<Value, Expected> {
        let item = &self.items[self.item(item)?];
        let movements: Vec<Value> = item
            .movements
            .iter()
            .enumerate()
            .rev()
            .take(MOVEMENTS_SHOWN)
            .map(|(place, (delta, balance, reason))| {
                json!({"seq": place + 1, "delta": plain(*delta), "balance_after": plain(*balance), "reason": reason})
            })
            .collect();
        Ok(json!({"item": item.view(self), "movements": movements}))
    }

    fn list(&self) -> Value {
        let mut items: Vec<&Item> = self.items.iter().filter(|item| !item.archived).collect();
        items.sort_by_key(|item| item.name.to_lowercase());
        let views: Vec<Value> = items.iter().map(|item| item.view(self)).collect();
        json!({"items": views})
    }

    pub(super) fn inventory_terms(&self, call: &Call) -> Result<Terms, Expected> {
        let Call::Remove { item } = call else {
            return Err(Expected::Nothing);
        };
        let place = self.item(item)?;
        self.refuse_in_use(place)?;
        Ok(Terms::Remove(place))
    }

    fn refuse_in_use(&self, place: usize) -> Result<(), Expected> {
        let open = self.bills.iter().filter(|bill| bill.status() == "open");
        let in_use = open
            .flat_map(|bill| &bill.lines)
            .any(|line| line.item == place);
        if in_use {
            Err(Expected::refused("item_in_use"))
        } else {
            Ok(())
        }
    }

    /// Archives an item that was to be removed.
    pub(super) fn remove(&mut self, place: usize) -> Expected {
        if let Err(refused) = self.refuse_in_use(place) {
            return refused;
        }
        let item = &mut self.items[place];
        if item.archived {
            return Expected::refused("unknown_item");
        }
        item.archived = true;
        item.fields_version += 1;
        Expected::Done(json!({"item": self.items[place].view(self)}))
    }
}
