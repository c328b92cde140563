//! What a call cost: given, or computed from prices, in decimal digits. The user's table of prices is asked where nobody says.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString};

use super::attach::AttachedCell;
use super::bill::{Amount, Bill, Value};
use super::cost::CostCall;
use super::encode::Encoder;
use super::held::Held;
use super::members::{Members, Name};
use super::text::utf8;
use crate::decimal::Decimal;

/// `model -> prices or None`, from `logspool.prices`.
static TABLE: AttachedCell<Option<Py<PyAny>>> = AttachedCell::new(None);

/// Sets what is asked for a model's prices, or nothing.
#[pyfunction]
pub fn set_prices(py: Python<'_>, lookup: Option<Py<PyAny>>) {
    let old = TABLE.with(py, |table| std::mem::replace(table, lookup));
    drop(old);
}

/// The prices of a model, if there is a table and it knows the model.
fn of<'py>(encoder: &Encoder<'py>, model: &Bound<'py, PyAny>) -> Option<Held<'py>> {
    let py = encoder.py;
    let lookup = TABLE.with(py, |table| {
        table.as_ref().map(|lookup| lookup.clone_ref(py))
    })?;
    let lookup = Held::from(lookup.into_bound(py));
    let prices = Held::from(encoder.ok(lookup.call1((model,)))?);
    (!prices.is_none()).then_some(prices)
}

/// A whole cost; Perplexity's name is the second.
const TOTAL: &[Name] = &[Name::total, Name::total_cost];

impl<'py> Encoder<'py> {
    /// Fills in what the call cost: as the caller says, else the provider, else by the prices.
    pub(super) fn price(
        &self,
        call: &CostCall<'_, 'py>,
        provided: Value<'py>,
        bill: &mut Bill<'py>,
    ) {
        let (cost, source) = match call.cost {
            Some(cost) => (Some(Held::new(cost)), "caller"),
            None => (provided.filter(|cost| self.is_money(cost)), "provider"),
        };
        if let Some(cost) = cost {
            bill.source = Some(source);
            if !self.is_mapping(&cost) {
                bill.total_cost = Amount::Given(cost);
                return;
            }
            let parts = Members::of(self, &cost);
            let input = parts.get(self, &[Name::input, Name::input_tokens_cost]);
            let output = parts.get(self, &[Name::output, Name::output_tokens_cost]);
            let total = parts.get(self, TOTAL);
            bill.currency = parts.get(self, &[Name::currency]);
            bill.total_cost = match total {
                Some(total) => Amount::Given(total),
                None => match (
                    input.as_ref().and_then(|cost| self.decimal(cost)),
                    output.as_ref().and_then(|cost| self.decimal(cost)),
                ) {
                    (Some(input), Some(output)) => input
                        .plus(output)
                        .map_or(Amount::Unknown, |sum| Amount::Computed(sum.to_float())),
                    _ => Amount::Unknown,
                },
            };
            bill.input_cost = input.map_or(Amount::Unknown, Amount::Given);
            bill.output_cost = output.map_or(Amount::Unknown, Amount::Given);
            return;
        }
        let found;
        let pricing = match call.pricing.as_deref() {
            Some(given) => given,
            None => match call.model.and_then(|model| of(self, &model)) {
                Some(prices) => {
                    found = prices;
                    &*found
                }
                None => return,
            },
        };
        let prices = Members::of(self, pricing);
        let price = |name| {
            self.decimal(&*prices.get(self, &[name])?)
                .filter(|price| *price >= Decimal::ZERO)
        };
        let fresh = price(Name::input_per_1m);
        let input = fresh.and_then(|fresh| self.input_cost(bill, fresh, &price));
        let output = price(Name::output_per_1m).and_then(|price| self.output_cost(bill, price));
        if input.is_some() || output.is_some() {
            bill.source = Some("computed");
            bill.currency = prices.get(self, &[Name::currency]);
        }
        let total = input
            .zip(output)
            .and_then(|(input, output)| input.plus(output));
        let amount = |cost: Option<Decimal>| {
            cost.map_or(Amount::Unknown, |cost| Amount::Computed(cost.to_float()))
        };
        (bill.input_cost, bill.output_cost, bill.total_cost) =
            (amount(input), amount(output), amount(total));
        if call.pricing.is_none() {
            bill.pricing = Some(Held::new(pricing.as_borrowed()));
        }
    }

    /// What the prompt costs, with the prices of the cache where there are any.
    fn input_cost(
        &self,
        bill: &Bill<'py>,
        fresh: Decimal,
        price: &impl Fn(Name) -> Option<Decimal>,
    ) -> Option<Decimal> {
        let prompt = self.tokens(&bill.prompt)?;
        let part = |tokens: &Value<'py>, name| {
            let count = self.tokens(tokens);
            count
                .filter(|n| *n > 0)
                .zip(price(name))
                .unwrap_or_default()
        };
        let (cached, cached_price) = part(&bill.cached, Name::cached_per_1m);
        let (written, write_price) = part(&bill.cache_write, Name::cache_write_per_1m);
        let rest = prompt.checked_sub(cached)?.checked_sub(written)?;
        let (rest, cached, written) = if rest >= 0 {
            (rest, cached, written)
        } else {
            (prompt, 0, 0) // They cannot be parts of the prompt.
        };
        fresh
            .times(rest)?
            .plus(cached_price.times(cached)?)?
            .plus(write_price.times(written)?)?
            .millionth()
    }

    /// What the answer costs. An embedding has none, and many providers do not say so.
    fn output_cost(&self, bill: &Bill<'py>, price: Decimal) -> Option<Decimal> {
        if bill.completion.is_some() {
            return price.times(self.tokens(&bill.completion)?)?.millionth();
        }
        let prompt = self.tokens(&bill.prompt)?;
        (price == Decimal::ZERO || self.tokens(&bill.total) == Some(prompt))
            .then_some(Decimal::ZERO)
    }

    /// A number of tokens that can be paid for.
    fn tokens(&self, value: &Value<'py>) -> Option<i64> {
        self.count(value.as_ref()?).filter(|count| *count >= 0)
    }

    /// Whether a provider's cost says anything: an amount, or parts of one.
    fn is_money(&self, cost: &Bound<'py, PyAny>) -> bool {
        if self.is_mapping(cost) {
            let parts = Members::of(self, cost);
            return parts
                .get(self, TOTAL)
                .is_some_and(|total| self.decimal(&total).is_some());
        }
        self.decimal(cost).is_some()
    }

    /// The number in its shortest form in decimal digits, which is what its author wrote; text as it stands.
    fn decimal(&self, value: &Bound<'py, PyAny>) -> Option<Decimal> {
        if value.is_instance_of::<PyString>() {
            return Decimal::parse(std::str::from_utf8(utf8(value.as_borrowed())?).ok()?);
        }
        if value.is_instance_of::<PyBool>() {
            return None;
        }
        Decimal::of_float(self.ok(value.extract())?)
    }
}
