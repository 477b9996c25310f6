package io.secondopinion.analysis;

import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.en.EnglishAnalyzer;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.AnalyzerFactory;

/**
 * Gives the name "english" to Lucene's own analyzer for English, as the full distribution of Elasticsearch does,
 * so that index mappings are the same here and in production.
 */
@NamedComponent("english")
public class EnglishAnalyzerFactory implements AnalyzerFactory {
    private final Analyzer analyzer = new EnglishAnalyzer();

    @Override
    public Analyzer create() {
        return analyzer;
    }
}
