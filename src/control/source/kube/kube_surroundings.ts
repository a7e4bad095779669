/** What stands beside the policies of a cluster: who is in it, secrets, and what files add. */
import type { Inventory } from '../../../policy/resolve/inventory.ts';
import type { Surroundings } from '../objects/object_set.ts';
import type { FilesPart } from './files_beside.ts';
import { joined } from './joined_inventory.ts';
import type { SecretValues } from './named_secrets.ts';

export interface SurroundingParts {
  /** Of the cluster. */
  readonly inventory: Inventory;
  /** Null: no files add to it. */
  readonly files: FilesPart | null;
  readonly secrets: SecretValues;
}

const NO_DOCUMENTS: Surroundings['documents'] = [];

export class KubeSurroundings {
  readonly #listeners: ReadonlyMap<string, number>;
  #last: { readonly parts: SurroundingParts; readonly surroundings: Surroundings } | null = null;

  /** Of the configuration and the files: the very same while those are. */
  #named: ReadonlyMap<string, number> = new Map();

  /** `listeners`: of the configuration, name → proxy id. */
  constructor(listeners: ReadonlyMap<string, number>) {
    this.#listeners = listeners;
  }

  /** The very same for the same parts; each member is for those that it is made of. */
  of(parts: SurroundingParts): Surroundings {
    const { inventory, files, secrets } = parts;
    const last = this.#last;
    const isSame = (name: keyof SurroundingParts): boolean => last?.parts[name] === parts[name];
    const isSameFiles = isSame('files');
    if (last !== null && isSameFiles && isSame('inventory') && isSame('secrets')) {
      return last.surroundings;
    }
    if (!isSameFiles || last === null) this.#named = this.#namedWith(files);
    const whole = joined(inventory, files?.inventory ?? null, this.#named);
    const before = last?.surroundings;
    const surroundings = {
      inventory: isSameFiles && isSame('inventory') && before ? before.inventory : whole.inventory,
      secrets:
        isSameFiles && isSame('secrets') && before
          ? before.secrets
          : new Map([...secrets, ...(files?.secrets ?? [])]),
      documents: files?.documents ?? NO_DOCUMENTS,
      warnings: [...(files?.warnings ?? []), ...whole.warnings],
    };
    this.#last = { parts, surroundings };
    return surroundings;
  }

  #namedWith(files: FilesPart | null): ReadonlyMap<string, number> {
    return files === null
      ? this.#listeners
      : new Map([...this.#listeners, ...files.inventory.listeners]);
  }
}
