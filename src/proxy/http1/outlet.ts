/**
 * hot path
 *
 * The writing half of the HTTP/1.1 relay towards the client: heads and content of the upstream, and our own
 * replies, each counted on the record of its request.
 */
import type { Http1ResponseHead } from '../../codec/http1/response_head.ts';
import { serialiseResponseHead } from '../../codec/http1/serialise.ts';
import { GatheredWrite, type Source } from '../plane/gathered_write.ts';
import { http1Bytes, type LocalReply, type ReplyContext } from '../request/local_reply.ts';
import type { RelayContext } from '../request/relay.ts';
import type { RequestLife } from '../request/request_life.ts';

export class Http1Outlet {
  readonly #out: GatheredWrite;

  /** `source` makes what is written: it is stopped while the client does not read. */
  constructor({ downstream, plane, guard }: RelayContext, source: Source) {
    this.#out = new GatheredWrite(downstream, { source, turn: plane.turnWrites, guard });
  }

  /** The head as it was read when it says what is to be said. */
  head(life: RequestLife, head: Http1ResponseHead, isClosing: boolean): void {
    const isAsRead = head.isCanonical && (!isClosing || !head.isPersistent);
    this.content(life, isAsRead ? head.raw : serialiseResponseHead(head, { isClosing }));
  }

  content(life: RequestLife, bytes: Buffer): void {
    life.bytesOut += bytes.length;
    this.#out.write(bytes);
  }

  reply(life: RequestLife, reply: LocalReply, context: ReplyContext): void {
    const bytes = http1Bytes(reply, context);
    life.answered(reply, bytes.length);
    this.#out.write(bytes);
  }

  /** Everything is with the socket now. */
  flush(): void {
    this.#out.flush();
  }
}
