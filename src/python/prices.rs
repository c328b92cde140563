//! What a call cost: given, or computed from prices, in decimal digits. The user's table of prices is asked where nobody says.

use pyo3::prelude::*;

use super::attach::AttachedCell;
use super::bill::{Amount, Bill, Value};
use super::cost::CostCall;
use super::encode::Encoder;
use super::held::Held;
use super::members::{Members, Name};
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
            None => (provided, "provider"),
        };
        if let Some(cost) = cost {
            bill.source = Some(source);
            if !self.is_mapping(&cost) {
                bill.total_cost = Amount::Given(cost);
                return;
            }
            let parts = Members::of(self, &cost);
            let part = |name| parts.get(self, &[name]);
            let (input, output) = (part(Name::input), part(Name::output));
            let total = part(Name::total);
            bill.currency = part(Name::currency);
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
        let price = |name| self.decimal(&*prices.get(self, &[name])?);
        let fresh = price(Name::input_per_1m);
        let input = fresh.and_then(|fresh| self.input_cost(bill, fresh, &price));
        let output = price(Name::output_per_1m).and_then(|price| {
            price
                .times(self.count(bill.completion.as_ref()?)?)?
                .millionth()
        });
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
        let prompt = self.count(bill.prompt.as_ref()?)?;
        let part = |tokens: &Value<'py>, name| {
            let count = tokens.as_ref().and_then(|tokens| self.count(tokens));
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

    /// The number in its shortest form in decimal digits, which is what its author wrote.
    fn decimal(&self, value: &Bound<'py, PyAny>) -> Option<Decimal> {
        Decimal::of_float(self.ok(value.extract())?)
    }
}
