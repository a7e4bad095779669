/** Times as `hubble observe` prints them, in UTC; and as its flags take them. */
import type { Timestamp } from '@bufbuild/protobuf/wkt';

export const TIME_FORMATS = [
  'YearMonthDay',
  'YearMonthDayHour',
  'YearMonthDayHourMinute',
  'StampMilli',
  'RFC3339',
  'RFC3339Milli',
  'RFC3339Micro',
  'RFC3339Nano',
  'RFC1123Z',
] as const;

export type TimeFormat = (typeof TIME_FORMATS)[number];

/** Year 1 to year 9999, as protobuf's timestamps. */
const SECONDS_MIN = -62_135_596_800n;
const SECONDS_MAX = 253_402_300_799n;

export function timeText(time: Timestamp | undefined, format: TimeFormat): string {
  if (time === undefined || !isValid(time)) return 'N/A';
  const date = new Date(Number(time.seconds) * 1000);
  const [day = '', clock = ''] = date.toISOString().split('T');
  const seconds = clock.slice(0, 8);
  const nanos = String(time.nanos).padStart(9, '0');
  switch (format) {
    case 'YearMonthDay':
      return day;
    case 'YearMonthDayHour':
      return `${day}T${seconds.slice(0, 2)}Z`;
    case 'YearMonthDayHourMinute':
      return `${day}T${seconds.slice(0, 5)}Z`;
    case 'StampMilli':
      return `${monthOf(date)} ${String(date.getUTCDate()).padStart(2)} ${seconds}.${nanos.slice(0, 3)}`;
    case 'RFC3339':
      return `${day}T${seconds}Z`;
    case 'RFC3339Milli':
      return `${day}T${seconds}${fraction(nanos.slice(0, 3))}Z`;
    case 'RFC3339Micro':
      return `${day}T${seconds}${fraction(nanos.slice(0, 6))}Z`;
    case 'RFC3339Nano':
      return `${day}T${seconds}${fraction(nanos)}Z`;
    case 'RFC1123Z':
      return `${date.toUTCString().slice(0, -3)}+0000`;
  }
}

export type TimeResult =
  | { readonly kind: 'time'; readonly time: Pick<Timestamp, 'seconds' | 'nanos'> }
  | { readonly kind: 'error'; readonly message: string };

/** "10m" (before now), "2026-01-02", RFC 3339 with its parts left out from the right. */
export function parseTime(text: string, nowMs: number): TimeResult {
  const ago = durationMs(text);
  if (ago !== null) return { kind: 'time', time: timestampOf(nowMs - ago) };
  const match = DATE.exec(text);
  const completed =
    match === null
      ? text
      : `${match[1]}T${match[2] ?? '00'}:${match[3] ?? '00'}:${match[4] ?? '00'}${match[5] ?? 'Z'}`;
  const ms = match === null && !RFC_1123.test(text) ? Number.NaN : Date.parse(completed);
  if (Number.isNaN(ms)) {
    return {
      kind: 'error',
      message: `"${text}" is no time: give a duration such as 10m, or 2026-01-02T15:04:05Z`,
    };
  }
  const nanos = Number(`${match?.[4]?.slice(3) ?? ''}`.padEnd(9, '0').slice(0, 9));
  return { kind: 'time', time: { seconds: BigInt(Math.floor(ms / 1000)), nanos } };
}

const DATE =
  /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d{1,9})?))?)?(Z|[+-]\d\d:\d\d))?$/;
const RFC_1123 = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}$/;

const UNITS_MS = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** As Go's: "1h30m", "1.5s", "-5m"; null: it is none. */
function durationMs(text: string): number | null {
  if (!/^[+-]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return text === '0' ? 0 : null;
  let sum = 0;
  for (const [, number = '0', unit = 's'] of text.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g)) {
    sum += Number(number) * UNITS_MS[unit as keyof typeof UNITS_MS];
  }
  return text.startsWith('-') ? -sum : sum;
}

export function timestampOf(ms: number): Pick<Timestamp, 'seconds' | 'nanos'> {
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: Math.floor((ms - seconds * 1000) * 1e6) };
}

function isValid({ seconds, nanos }: Timestamp): boolean {
  return seconds >= SECONDS_MIN && seconds <= SECONDS_MAX && nanos >= 0 && nanos < 1e9;
}

/** Without the zeros at its end. */
function fraction(digits: string): string {
  const short = digits.replace(/0+$/, '');
  return short === '' ? '' : `.${short}`;
}

function monthOf(date: Date): string {
  return date.toUTCString().slice(8, 11);
}
