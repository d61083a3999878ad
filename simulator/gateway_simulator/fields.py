"""Reading a request's fields one by one, from the left."""

from decimal import Decimal, InvalidOperation

from gateway_simulator.contracts import ContractQuery
from gateway_simulator.wire import UNSET

# Of a double. Decimals go further, to numbers that would take gigabytes to write out.
_LARGEST_EXPONENT = 324


class MalformedRequestError(Exception):
    """A payload whose fields are too few, too many, or not what its message id needs."""


class Fields:
    """The fields of one request. Every reading method raises MalformedRequestError."""

    def __init__(self, fields: list[str]) -> None:
        self._fields = fields
        self._next = 0

    def text(self) -> str:
        """The next field as it is."""
        if self._next >= len(self._fields):
            raise MalformedRequestError(f"field {self._next} is missing")
        self._next += 1
        return self._fields[self._next - 1]

    def integer(self) -> int:
        """The next field as a whole number; empty means 0."""
        text = self.text()
        try:
            return int(text or 0)
        except ValueError:
            raise self._wrong(text, "a whole number") from None

    def flag(self) -> bool:
        """The next field as a boolean: 1, 0 or empty."""
        return self.integer() != 0

    def number(self) -> Decimal | None:
        """The next field as a number, perhaps NaN; empty, or the largest double, is not set."""
        text = self.text()
        if text == "" or text.upper().replace("+", "") == UNSET:
            return None
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise self._wrong(text, "a number") from None
        if number.is_finite() and abs(number.adjusted()) > _LARGEST_EXPONENT:
            raise self._wrong(text, "a double")
        return number

    def positive(self) -> bool:
        """Whether the next field is a number above 0."""
        number = self.number()
        return number is not None and number.is_finite() and number > 0

    def count(self) -> int:
        """The next field as the number of items that follow."""
        count = self.integer()
        if not 0 <= count <= len(self._fields):
            raise MalformedRequestError(f"field {self._next - 1} counts {count} items")
        return count

    def skip(self, *names: str) -> None:
        """Pass over fields that do not matter here; the names are for the reader."""
        self.skip_many(len(names))

    def skip_many(self, count: int) -> None:
        """Pass over `count` fields."""
        if self._next + count > len(self._fields):
            raise MalformedRequestError(f"field {len(self._fields)} is missing")
        self._next += count

    def end(self) -> None:
        """Nothing may be left over: what we would ignore, the client would believe in."""
        left = len(self._fields) - self._next
        if left:
            raise MalformedRequestError(f"{left} fields left over from field {self._next} on")

    def contract(self) -> ContractQuery:
        """The 12 fields by which a client describes a contract."""
        con_id, symbol, sec_type = self.integer(), self.text(), self.text()
        self.skip("lastTradeDateOrContractMonth", "strike", "right", "multiplier")
        exchange, _primary, currency = self.text(), self.text(), self.text()
        local_symbol, _trading_class = self.text(), self.text()
        return ContractQuery(con_id, symbol, sec_type, exchange, currency, local_symbol)

    def delta_neutral_contract(self) -> bool:
        """An optional part: whether it is there, and if so its fields passed over."""
        present = self.flag()
        if present:
            self.skip("conId", "delta", "price")
        return present

    def _wrong(self, text: str, wanted: str) -> MalformedRequestError:
        return MalformedRequestError(f"field {self._next - 1} is {text[:40]!r}, not {wanted}")
