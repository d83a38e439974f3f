//! Times that people have, with a page of an appointment book.

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::{Expected, OpId, Shop, Step};

/// The one thing that can be booked.
const RESOURCE: &str = "Chair 1";
/// Times of it that do not touch each other's.
pub const TIMES: [&str; 3] = ["10:00", "11:00", "12:00"];
/// How long each is, minutes.
const MINUTES: u32 = 30;

/// What the shop does with its appointment book.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// `booking_set_resource`: how many at once.
    SetUp {
        /// How many bookings fit at the same time. Never fewer than before.
        capacity: usize,
    },
    /// `booking_set_hours`: open all day, every day.
    Open,
    /// `create_booking`.
    Book {
        /// For whom.
        customer: Option<String>,
        /// The day.
        date: NaiveDate,
        /// The place of the time in [`TIMES`].
        time: usize,
        /// Which client asks: what it holds already is no conflict for it.
        by: usize,
    },
    /// `reschedule_booking`, on the same day.
    Move {
        /// The booking's number.
        number: usize,
        /// The place of the new time in [`TIMES`].
        time: usize,
    },
    /// `cancel_booking`.
    Cancel {
        /// The booking's number.
        number: usize,
    },
    /// `view_bookings`.
    View,
    /// `check_availability` of one time.
    Free {
        /// The day.
        date: NaiveDate,
        /// The place of the time in [`TIMES`].
        time: usize,
    },
}

/// The appointment book.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Book {
    /// How many at once; 0 before it is set up.
    capacity: usize,
    is_open: bool,
    /// Times kept while a question is open, in the order they were taken.
    held: Vec<Hold>,
    /// Every booking there ever was: number 1 first.
    booked: Vec<Booking>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Hold {
    time: usize,
    whose: Whose,
    question: OpId,
}

/// Whoever asks for the same again, or moves the same booking again, has the hold already.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    Asker {
        by: usize,
        customer: Option<String>,
    },
    /// The booking that is to be moved, by its number.
    Moved(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Booking {
    time: usize,
    customer: Option<String>,
    is_cancelled: bool,
    /// Grows with every change.
    changes: u32,
}

/// What is agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Terms {
    /// A new booking.
    Book {
        /// For whom.
        customer: Option<String>,
        /// The customer was not known when it was shown.
        is_new: bool,
        /// When.
        time: usize,
        /// Which client asked.
        by: usize,
    },
    /// Another time.
    Move {
        /// The booking's number.
        number: usize,
        /// When instead.
        time: usize,
        /// As often as it had changed when it was shown.
        changes: u32,
    },
    /// It is given up.
    Cancel {
        /// The booking's number.
        number: usize,
        /// As often as it had changed when it was shown.
        changes: u32,
    },
}

impl Call {
    pub(super) const fn tool(&self) -> &'static str {
        match self {
            Call::SetUp { .. } => "booking_set_resource",
            Call::Open => "booking_set_hours",
            Call::Book { .. } => "create_booking",
            Call::Move { .. } => "reschedule_booking",
            Call::Cancel { .. } => "cancel_booking",
            Call::View => "view_bookings",
            Call::Free { .. } => "check_availability",
        }
    }

    pub(super) fn arguments(&self) -> Value {
        match self {
            Call::SetUp { capacity } => {
                json!({"name": RESOURCE, "capacity": capacity, "slot_minutes": MINUTES})
            }
            Call::Open => {
                let days = contracts::tools::booking::Weekday::ALL;
                json!({"resource": RESOURCE, "weekdays": days, "opens": "08:00", "closes": "20:00"})
            }
            Call::Book {
                customer,
                date,
                time,
                ..
            } => {
                json!({"resource": RESOURCE, "customer": customer, "date": date, "time": TIMES[*time]})
            }
            Call::Move { number, time } => {
                json!({"booking": format!("BK-{number}"), "time": TIMES[*time]})
            }
            Call::Cancel { number } => json!({"booking": format!("BK-{number}")}),
            Call::View => json!({"limit": 100}),
            Call::Free { date, time } => {
                json!({"resource": RESOURCE, "date": date, "time": TIMES[*time]})
            }
        }
    }

    pub(super) const fn is_read(&self) -> bool {
        matches!(self, Call::View | Call::Free { .. })
    }

    pub(super) const fn is_commit(&self) -> bool {
        matches!(
            self,
            Call::Book { .. } | Call::Move { .. } | Call::Cancel { .. }
        )
    }
}

impl Call {
    /// What looks at a booking, locks it and looks again.
    pub(super) const fn changes_a_booking(&self) -> bool {
        matches!(self, Call::Move { .. } | Call::Cancel { .. })
    }
}

impl Terms {
    /// The person saw whether the customer was new.
    pub(super) fn as_shown(&mut self, question: &Value) {
        if let Terms::Book { is_new, .. } = self {
            *is_new = question["binding"]["customer"]["new"].is_string();
        }
    }

    /// Whether it is the same, but for a customer who became one at the same time.
    pub(super) fn is_same_but_for_a_new_customer(&self, other: &Terms) -> bool {
        let known = |terms: &Terms| match terms.clone() {
            Terms::Book {
                customer, time, by, ..
            } => Terms::Book {
                customer,
                time,
                by,
                is_new: false,
            },
            other => other,
        };
        known(self) == known(other)
    }

    /// Who it is for, where that may be somebody new.
    pub(super) fn customer(&self) -> Option<&str> {
        match self {
            Terms::Book { customer, .. } => customer.as_deref(),
            Terms::Move { .. } | Terms::Cancel { .. } => None,
        }
    }
}

impl Booking {
    fn shown(&self, number: usize) -> Value {
        let status = if self.is_cancelled {
            "cancelled"
        } else {
            "confirmed"
        };
        json!({"reference": format!("BK-{number}"), "status": status, "resource": RESOURCE, "customer": self.customer,
            "time": TIMES[self.time]})
    }
}

impl Book {
    /// Whether a time can be had by somebody, whose own holds do not count.
    fn has_room(&self, time: usize, whose: Option<&Whose>) -> bool {
        let moved = match whose {
            Some(Whose::Moved(number)) => Some(*number),
            _ => None,
        };
        let booked = (1..)
            .zip(&self.booked)
            .filter(|(number, b)| b.time == time && !b.is_cancelled && Some(*number) != moved);
        let held = self
            .held
            .iter()
            .filter(|hold| hold.time == time && Some(&hold.whose) != whose);
        booked.count() + held.count() < self.capacity
    }

    fn booking(&self, number: usize) -> Result<&Booking, Expected> {
        let found = number.checked_sub(1).and_then(|at| self.booked.get(at));
        let booking = found.ok_or_else(|| Expected::refused("unknown_booking"))?;
        if booking.is_cancelled {
            return Err(Expected::refused("booking_closed"));
        }
        Ok(booking)
    }

    fn output(&self, number: usize) -> Expected {
        let shown = self.booked[number - 1].shown(number);
        Expected::Done(json!({"reference": shown["reference"], "booking": shown}))
    }

    /// Keeps a time for a question: the hold that is there, or a new one where there is room.
    fn hold(&mut self, time: usize, whose: &Whose, question: OpId) {
        let is_own = |hold: &&mut Hold| hold.time == time && hold.whose == *whose;
        if let Some(own) = self.held.iter_mut().find(is_own) {
            own.question = question;
        } else if self.has_room(time, Some(whose)) {
            self.held.push(Hold {
                time,
                whose: whose.clone(),
                question,
            });
        }
        if matches!(whose, Whose::Moved(_)) {
            self.held
                .retain(|hold| hold.whose != *whose || hold.time == time);
        }
    }

    /// Gives the time up that is kept for a question.
    pub(super) fn release(&mut self, question: OpId) {
        self.held.retain(|hold| hold.question != question);
    }

    /// Uses up one's own hold, or finds room without.
    fn take(&mut self, time: usize, whose: &Whose) -> Result<(), Expected> {
        let own = self
            .held
            .iter()
            .position(|hold| hold.time == time && hold.whose == *whose);
        match own {
            Some(own) => {
                self.held.remove(own);
                Ok(())
            }
            None if self.has_room(time, Some(whose)) => Ok(()),
            None => Err(Expected::refused("slot_taken")),
        }
    }
}

impl Shop {
    /// What only looks, and what the owner sets up.
    pub(super) fn booking(&mut self, call: &Call) -> Expected {
        let book = &mut self.book;
        match call {
            Call::SetUp { capacity } => {
                book.capacity = *capacity;
                Expected::Done(json!({"resource": {"name": RESOURCE, "capacity": capacity}}))
            }
            Call::Open if book.capacity == 0 => Expected::refused("unknown_resource"),
            Call::Open => {
                book.is_open = true;
                Expected::Done(json!({"resource": {"name": RESOURCE}}))
            }
            Call::View => {
                let standing = (1..)
                    .zip(&book.booked)
                    .filter(|(_, booking)| !booking.is_cancelled);
                let shown: Vec<Value> = standing.map(|(n, booking)| booking.shown(n)).collect();
                Expected::Done(json!({"bookings": shown}))
            }
            Call::Free { .. } if book.capacity == 0 => Expected::refused("unknown_resource"),
            Call::Free { time, .. } => {
                Expected::Done(json!({"is_free": book.is_open && book.has_room(*time, None)}))
            }
            Call::Book { .. } | Call::Move { .. } | Call::Cancel { .. } => Expected::Nothing,
        }
    }

    pub(super) fn booking_terms(&self, call: &Call) -> Result<Terms, Expected> {
        let book = &self.book;
        match call {
            Call::Book {
                customer, time, by, ..
            } => {
                if book.capacity == 0 {
                    return Err(Expected::refused("unknown_resource"));
                }
                if !book.is_open {
                    return Err(Expected::refused("not_bookable"));
                }
                let whose = Whose::Asker {
                    by: *by,
                    customer: customer.clone(),
                };
                if !book.has_room(*time, Some(&whose)) {
                    return Err(Expected::refused("slot_taken"));
                }
                let known = |name: &String| self.customers.contains_key(name);
                Ok(Terms::Book {
                    is_new: customer.as_ref().is_some_and(|name| !known(name)),
                    customer: customer.clone(),
                    time: *time,
                    by: *by,
                })
            }
            Call::Move { number, time } => {
                let booking = book.booking(*number)?;
                if !book.has_room(*time, Some(&Whose::Moved(*number))) {
                    return Err(Expected::refused("slot_taken"));
                }
                if booking.time == *time {
                    return Err(Expected::refused("invalid_arguments"));
                }
                Ok(Terms::Move {
                    number: *number,
                    time: *time,
                    changes: booking.changes,
                })
            }
            Call::Cancel { number } => Ok(Terms::Cancel {
                number: *number,
                changes: book.booking(*number)?.changes,
            }),
            Call::SetUp { .. } | Call::Open | Call::View | Call::Free { .. } => {
                Err(Expected::Nothing)
            }
        }
    }

    /// Keeps the time a question is about.
    pub(super) fn hold_time(&mut self, terms: &Terms, question: OpId) {
        match terms {
            Terms::Book {
                customer, time, by, ..
            } => {
                let whose = Whose::Asker {
                    by: *by,
                    customer: customer.clone(),
                };
                self.book.hold(*time, &whose, question);
            }
            Terms::Move { number, time, .. } => {
                self.book.hold(*time, &Whose::Moved(*number), question);
            }
            Terms::Cancel { .. } => {}
        }
    }

    /// Does what was agreed to.
    pub(super) fn book(&mut self, terms: &Terms, step: &Step<'_>) -> Expected {
        match terms {
            Terms::Book {
                customer, time, by, ..
            } => {
                let whose = Whose::Asker {
                    by: *by,
                    customer: customer.clone(),
                };
                if let Err(refused) = self.book.take(*time, &whose) {
                    return refused;
                }
                if let Some(name) = customer {
                    self.customers.entry(name.clone()).or_insert(step.id);
                }
                self.book.booked.push(Booking {
                    time: *time,
                    customer: customer.clone(),
                    is_cancelled: false,
                    changes: 0,
                });
                self.book.output(self.book.booked.len())
            }
            Terms::Move { number, time, .. } => self.move_to(*number, *time),
            Terms::Cancel { number, .. } => {
                if let Err(refused) = self.book.booking(*number) {
                    return refused;
                }
                self.changed(*number, |booking| booking.is_cancelled = true)
            }
        }
    }

    fn move_to(&mut self, number: usize, time: usize) -> Expected {
        if let Err(refused) = self.book.booking(number) {
            return refused;
        }
        if let Err(refused) = self.book.take(time, &Whose::Moved(number)) {
            return refused;
        }
        self.changed(number, |booking| booking.time = time)
    }

    /// Changes a booking, for which nothing is held any more.
    fn changed(&mut self, number: usize, change: impl FnOnce(&mut Booking)) -> Expected {
        let booking = &mut self.book.booked[number - 1];
        change(booking);
        booking.changes += 1;
        let moved = Whose::Moved(number);
        self.book.held.retain(|hold| hold.whose != moved);
        self.book.output(number)
    }
}
