import Foundation
import GRDB

/// The embedded store: one SQLite database in the data folder, every commit on stable storage before it returns.
package final class SQLiteMetadataStore: MetadataStore {
    private let database: DatabaseQueue

    /// Opens or makes the database at the path.
    package init(path: String) throws(MetadataStoreError) {
        do {
            var configuration = GRDB.Configuration()
            configuration.prepareDatabase { database in
                // WAL with FULL syncs the log at each commit: one sync instead of a rollback journal's three.
                try database.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
            }
            database = try DatabaseQueue(path: path, configuration: configuration)
            try database.write { database in
                try database.execute(
                    sql: """
                        CREATE TABLE IF NOT EXISTS entry (
                            key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL, version INTEGER NOT NULL
                        ) WITHOUT ROWID
                        """)
            }
        } catch {
            throw .unavailable("\(path): \(error)")
        }
    }

    package func snapshot() throws(MetadataStoreError) -> MetadataSnapshot {
        do {
            let entries = try database.read { database in
                try Row.fetchAll(database, sql: "SELECT key, value, version FROM entry ORDER BY key").map { row in
                    let value: Data = row["value"]
                    return MetadataEntry(key: row["key"], value: [UInt8](value), version: row["version"])
                }
            }
            return MetadataSnapshot(entries: entries, revision: 0)
        } catch {
            throw .unavailable("\(error)")
        }
    }

    package func commit(_ transaction: MetadataTransaction) throws(MetadataStoreError) -> Int64 {
        do {
            try database.write { database in
                for condition in transaction.conditions {
                    let version = try Int64.fetchOne(
                        database, sql: "SELECT version FROM entry WHERE key = ?", arguments: [condition.key])
                    guard version ?? 0 == condition.version else {
                        throw MetadataStoreError.conflict(key: condition.key)
                    }
                }
                for key in transaction.deletes {
                    try database.execute(sql: "DELETE FROM entry WHERE key = ?", arguments: [key])
                }
                for put in transaction.puts {
                    try database.execute(
                        sql: """
                            INSERT INTO entry (key, value, version) VALUES (?, ?, 1)
                            ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = version + 1
                            """,
                        arguments: [put.key, Data(put.value)])
                }
            }
            return 0
        } catch let error as MetadataStoreError {
            throw error
        } catch {
            throw .unavailable("\(error)")
        }
    }

    /// Only this process writes here.
    package func observe(after revision: Int64, _ observer: @escaping @Sendable (MetadataNews) -> Void) {}

    /// The one node lives as long as its process.
    package func openSession(timeoutMilliseconds: Int64) throws(MetadataStoreError) {}

    package func close() {
        // A failure to close leaves nothing undone: each commit was synced.
        try? database.close()
    }
}
