/**
 * The program's own log by pino: one JSON object a line with `level`, `time` and `msg`. What happens
 * to requests is in the access log, not here.
 */
import { type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

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
  return write === undefined
    ? pino(settings, pino.destination({ dest: 1, sync: true }))
    : pino(settings, { write });
}
