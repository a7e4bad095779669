/** Which file imports which, and what is wrong with it. Pure: the graph comes in, complaints go out. */

/** File → files of `src/` that it imports, for their types or for their values. */
export type ImportGraph = ReadonlyMap<string, readonly string[]>;

/** Layer → room → rooms of the same layer that it may import. `.` is the layer's own folder. */
export type RoomTable = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

/** The files of the first circle that is found, its first file also as the last; empty when there is none. */
export function findCircle(graph: ImportGraph): readonly string[] {
  const done = new Set<string>();
  for (const file of graph.keys()) {
    const circle = visit(file, [], done, graph);
    if (circle.length > 0) return circle;
  }
  return [];
}

/** Imports from one room into another that `table` does not name. */
export function foreignRoomImports(graph: ImportGraph, table: RoomTable): readonly string[] {
  const found: string[] = [];
  for (const [file, targets] of graph) {
    const rooms = table[layerOf(file)];
    if (rooms === undefined) continue;
    const room = roomOf(file);
    const allowed = rooms[room];
    if (allowed === undefined) found.push(`${file} is in a room that the table does not know`);
    for (const target of targets) {
      if (layerOf(target) !== layerOf(file)) continue;
      const other = roomOf(target);
      if (other === room || allowed?.includes(other)) continue;
      found.push(`${file} imports ${target}`);
    }
  }
  return found;
}

export function layerOf(file: string): string {
  return file.split('/')[0] as string;
}

/** The folder below the layer; deeper ones belong to it. */
function roomOf(file: string): string {
  const parts = file.split('/');
  return parts.length > 2 ? (parts[1] as string) : '.';
}

function visit(
  file: string,
  path: string[],
  done: Set<string>,
  graph: ImportGraph,
): readonly string[] {
  if (done.has(file)) return [];
  if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
  path.push(file);
  for (const target of graph.get(file) ?? []) {
    const circle = visit(target, path, done, graph);
    if (circle.length > 0) return circle;
  }
  path.pop();
  done.add(file);
  return [];
}
