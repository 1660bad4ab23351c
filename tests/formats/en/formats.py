"""Number and date formats of that host."""

DECIMAL_SEPARATOR = "!"
THOUSAND_SEPARATOR = ";"
NUMBER_GROUPING = 2
DATE_INPUT_FORMATS = ["%d|%m|%Y"]
DATETIME_INPUT_FORMATS = ["%d|%m|%Y %H|%M"]
TIME_INPUT_FORMATS = ["%H|%M"]
