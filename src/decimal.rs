//! Money: decimal numbers that are added and multiplied without rounding.
//!
//! A price of 0.05 dollars is no binary fraction, and a sum of such fractions drifts away from the books of whoever sent the bill. Numbers are taken from their
//! digits instead, added as integers of 128 bits, and written in full.

use std::fmt;

/// Digits behind the point that are kept apart: beyond these nobody bills.
const MOST: i32 = 60;

/// `units` × 10^`-places`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decimal {
    units: i128,
    places: i32,
}

impl Decimal {
    /// Nothing.
    pub const ZERO: Self = Self {
        units: 0,
        places: 0,
    };

    /// The number that these characters write (`12`, `-0.05`, `6.15e-06`); `None` where they write none, or one of more digits than can be held.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (digits, exponent) = match rest.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && part.is_empty() {
            return None;
        }
        let mut units = 0_i128;
        for digit in whole.bytes().chain(part.bytes()) {
            let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
            units = units.checked_mul(10)?.checked_add(digit)?;
        }
        let places = i32::try_from(part.len()).ok()?.checked_sub(exponent)?;
        Self {
            units: if negative { -units } else { units },
            places,
        }
        .within()
    }

    /// The decimal number that a float is written as: the shortest that reads back as the same.
    #[must_use]
    pub fn of_float(value: f64) -> Option<Self> {
        value
            .is_finite()
            .then(|| Self::parse(zmij::Buffer::new().format_finite(value)))?
    }

    /// In its shortest form, with no more places than are kept.
    fn within(mut self) -> Option<Self> {
        while self.units % 10 == 0 && self.units != 0 && self.places > 0 {
            (self.units, self.places) = (self.units / 10, self.places - 1);
        }
        if self.units == 0 {
            return Some(Self::ZERO);
        }
        while self.places < 0 {
            (self.units, self.places) = (self.units.checked_mul(10)?, self.places + 1);
        }
        (self.places <= MOST).then_some(self)
    }

    /// The sum; `None` where it has more digits than can be held.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        let (fine, coarse) = if self.places >= other.places {
            (self, other)
        } else {
            (other, self)
        };
        let scale = 10_i128.checked_pow(u32::try_from(fine.places - coarse.places).ok()?)?;
        let units = coarse.units.checked_mul(scale)?.checked_add(fine.units)?;
        Self {
            units,
            places: fine.places,
        }
        .within()
    }

    /// So many times this.
    #[must_use]
    pub fn times(self, count: i64) -> Option<Self> {
        let units = self.units.checked_mul(i128::from(count))?;
        Self { units, ..self }.within()
    }

    /// The millionth part: prices are for a million tokens.
    #[must_use]
    pub fn millionth(self) -> Option<Self> {
        Self {
            places: self.places + 6,
            ..self
        }
        .within()
    }

    /// The nearest float.
    #[must_use]
    pub fn to_float(self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match other.times(-1).and_then(|negated| self.plus(negated)) {
            Some(difference) => difference.units.cmp(&0),
            None => self.to_float().total_cmp(&other.to_float()),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    /// In full, without an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = usize::try_from(self.places).unwrap_or(0);
        let digits = format!("{:0>width$}", self.units.unsigned_abs(), width = places + 1);
        let (whole, part) = digits.split_at(digits.len() - places);
        let point = if part.is_empty() { "" } else { "." };
        f.pad_integral(self.units >= 0, "", &format!("{whole}{point}{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn what_is_read_is_written_in_full() {
        for (text, shown) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("12", "12"),
            ("1.50", "1.5"),
            ("6.15e-06", "0.00000615"),
            ("1e3", "1000"),
            ("-2.5E+1", "-25"),
            (".5", "0.5"),
            ("100", "100"),
        ] {
            assert_eq!(decimal(text).to_string(), shown, "{text}");
        }
        for wrong in ["", "-", ".", "abc", "1e", "0x1", "1e400", "nan", "1 "] {
            assert_eq!(Decimal::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_hundred_thousand_small_amounts_add_up_to_the_last_digit() {
        let mut sum = Decimal::ZERO;
        for _ in 0..100_000 {
            sum = sum.plus(Decimal::of_float(0.000_001_1).unwrap()).unwrap();
        }
        assert_eq!(sum.to_string(), "0.11");
    }

    #[test]
    fn tokens_times_price_is_exact() {
        let cost = Decimal::of_float(0.05).unwrap().times(123).unwrap();
        assert_eq!(cost.millionth().unwrap().to_string(), "0.00000615");
    }

    proptest! {
        #[test]
        fn sums_are_those_of_integers(a in -1_000_000_000_i64..1_000_000_000, b in -1_000_000_000_i64..1_000_000_000, places in 0..12_i32) {
            let of = |units: i64| Decimal { units: i128::from(units), places }.within().unwrap();
            prop_assert_eq!(of(a).plus(of(b)).unwrap(), of(a + b));
            prop_assert_eq!(of(a).cmp(&of(b)), a.cmp(&b));
            prop_assert_eq!(decimal(&of(a).to_string()), of(a));
        }
    }
}
