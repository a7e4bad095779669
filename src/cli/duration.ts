/** "500ms", "5s" or "1m" in milliseconds; null when it is none. */
export function durationMs(text: string): number | null {
  const [, number = '', unit = ''] = /^([0-9]{1,6})(ms|s|m)$/.exec(text) ?? [];
  if (number === '') return null;
  return Number(number) * (unit === 'ms' ? 1 : unit === 's' ? 1000 : 60_000);
}
