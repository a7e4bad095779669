/**
 * The log of the program itself (starts, policy sets, workers), in lines of JSON like the access
 * log's: `level`, `time`, fields, `msg`. Requests are not in it.
 */
import { pino } from 'pino';

export interface ProcessLog {
  /** trace, debug, info, warn, error or silent; can be set at any time. */
  level: string;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** `write` gets one whole line. */
export function createProcessLog(options: {
  readonly level: string;
  readonly write: (line: string) => void;
}): ProcessLog {
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: options.write },
  );
}
