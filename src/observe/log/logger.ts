/**
 * The program's own log by pino: one JSON object a line with `level`, `time` and `msg`. What happens
 * to requests is in the access log, not here.
 */
import { type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';
import type { LogLevel } from '../../model/log_level.ts';
import { asciiOf } from './json_text.ts';

export type Logger = Pick<PinoLogger, 'trace' | 'debug' | 'info' | 'warn' | 'error'> & {
  level: string;
};

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Gets whole lines. Default: standard output, at once. */
  readonly write?: (line: string) => void;
  /** Fields of every line, such as `worker`. */
  readonly bindings?: Readonly<Record<string, string | number>>;
}

export function createLogger(options: LoggerOptions): Logger {
  const { write } = options;
  const settings = {
    level: options.level,
    // Not pid and hostname: what collects the lines knows them.
    base: { ...options.bindings },
    formatters: { level: (level: string) => ({ level }) },
    timestamp: stdTimeFunctions.isoTime,
    // An `err` field is an Error; its message may quote nothing but our own words.
    serializers: { err: pino.stdSerializers.err },
  };
  const destination = write === undefined ? pino.destination({ dest: 1, sync: true }) : { write };
  // Policies and requests are written by others, and a log may be read on a terminal.
  return pino(settings, { write: (line) => destination.write(asciiOf(line)) });
}
